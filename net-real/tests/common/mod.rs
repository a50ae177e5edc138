//! A client for tests of whole servers, on real sockets and on madsim's.

#[cfg(not(madsim))]
pub(crate) mod running;

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use zebu_core::config::Limits;
use zebu_core::conn::client_side::ClientSideConn;
use zebu_core::ids::{SessionId, Xid, Zxid};
use zebu_core::proto::{
    Acl, ClientMessage, ClientRequest, ConnectRequest, CreateRequest, ErrorCode, Request, Response,
    create_flags,
};
use zebu_net_real::settings::Address;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in {PATIENCE:?}"))
}

/// A client that asks one thing after the other, or many at once.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    conn: ClientSideConn,
    xid: i32,
}

impl Client {
    /// A new session, tried for until the server serves.
    pub(crate) async fn open(address: &Address) -> Self {
        soon("a session", async {
            loop {
                if let Some(client) = Self::try_open(address).await {
                    return client;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
    pub(crate) async fn try_open(address: &Address) -> Option<Self> {
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = soon("a connection", connecting).await.ok()?;
        let conn = ClientSideConn::new(&Limits::default());
        let mut client = Self { stream, conn, xid: 0 };
        let request = ClientRequest::Connect(ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 4000,
            session: SessionId(0),
            password: bytes::Bytes::from_static(&[0; 16]),
            read_only: Some(false),
        });
        client.try_send(&[request]).await.ok()?;
        match client.next().await? {
            ClientMessage::Connected(response) => {
                assert!(response.timeout_ms > 0);
                Some(client)
            }
            other => panic!("expected a ConnectResponse, found {other:?}"),
        }
    }
    pub(crate) async fn send(&mut self, requests: &[ClientRequest]) {
        self.try_send(requests).await.expect("the connection stands");
    }
    async fn try_send(&mut self, requests: &[ClientRequest]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for request in requests {
            self.conn.encode(request, &mut bytes);
        }
        soon("a write", self.stream.write_all(&bytes)).await?;
        // madsim's sockets send nothing before.
        self.stream.flush().await
    }
    /// The next message, `None` at the connection's end.
    pub(crate) async fn next(&mut self) -> Option<ClientMessage> {
        loop {
            if let Some(message) = self.conn.next().expect("the server speaks the protocol") {
                return Some(message);
            }
            let mut buffer = [0; 16 << 10];
            match soon("a message", self.stream.read(&mut buffer)).await {
                Ok(length @ 1..) => self.conn.receive(&buffer[..length]),
                Ok(0) | Err(_) => return None,
            }
        }
    }
    pub(crate) fn request(&mut self, request: Request) -> ClientRequest {
        self.xid += 1;
        ClientRequest::Request { xid: Xid(self.xid), request }
    }
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Response, ErrorCode> {
        let request = self.request(request);
        self.send(&[request]).await;
        self.answer().await
    }
    pub(crate) async fn answer(&mut self) -> Result<Response, ErrorCode> {
        match self.next().await {
            Some(ClientMessage::Reply { result, .. }) => result,
            other => panic!("expected a reply, found {other:?}"),
        }
    }
}

#[cfg(not(madsim))]
pub(crate) async fn connect(address: &Address) -> TcpStream {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    soon("a connection", connecting).await.expect("the port is open")
}

pub(crate) fn create(path: &str, data: &'static [u8]) -> Request {
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(data.into()),
        acl: Acl::open(),
        flags: create_flags::PERSISTENT,
    })
}
pub(crate) fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}
pub(crate) fn data_of(response: Result<Response, ErrorCode>) -> Vec<u8> {
    match response {
        Ok(Response::Data { data, .. }) => data.unwrap_or_default().to_vec(),
        other => panic!("expected data, found {other:?}"),
    }
}
