//! One or several servers behind one port, from an image's volumes and environment.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where the tests of other clients take no ports, nor the kernel.
const PORTS: std::ops::Range<usize> = 9000..9990;
/// What the image has without a `zoo.cfg` of the test's.
const DEFAULTS: &str = "tickTime=2000\ninitLimit=5\nsyncLimit=2\nmaxClientCnxns=60\n";
/// The port in the container.
const INNER_PORT: u16 = 2181;

static NEXT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Default)]
pub struct Healthcheck;

impl Healthcheck {
    pub fn with_cmd<'a>(self, _: impl Iterator<Item = &'a &'a str>) -> Self {
        self
    }

    pub fn with_interval(self, _: Duration) -> Self {
        self
    }

    pub fn with_retries(self, _: u32) -> Self {
        self
    }
}

/// When a container is ready; here always when its servers serve.
#[derive(Debug)]
pub enum WaitFor {
    Healthcheck,
}

#[derive(Debug, Default)]
pub struct GenericImage {
    environment: HashMap<String, String>,
}

impl GenericImage {
    pub fn new(name: &str, _tag: &str) -> Self {
        assert_eq!(name, "zookeeper");
        Self::default()
    }

    pub fn with_env_var(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.insert(key.into(), value.into());
        self
    }

    pub fn with_healthcheck(self, _: Healthcheck) -> Self {
        self
    }

    pub fn with_wait_for(self, _: WaitFor) -> Self {
        self
    }
}

#[derive(Debug)]
pub struct RunnableImage<I> {
    image: I,
    /// From a path in the container to one outside.
    volumes: Vec<(String, PathBuf)>,
    on_host: bool,
}

impl From<GenericImage> for RunnableImage<GenericImage> {
    fn from(image: GenericImage) -> Self {
        Self { image, volumes: vec![], on_host: false }
    }
}

impl<I> RunnableImage<I> {
    pub fn with_volume(mut self, (outside, inside): (&str, &str)) -> Self {
        self.volumes.push((inside.into(), outside.into()));
        self
    }

    /// On the host's network a container's ports are as its configuration says.
    pub fn with_network(mut self, network: &str) -> Self {
        assert_eq!(network, "host");
        self.on_host = true;
        self
    }
}

#[derive(Debug, Default)]
pub struct Cli;

impl Cli {
    pub fn run(&self, image: RunnableImage<GenericImage>) -> Container<'_, GenericImage> {
        let home = std::env::temp_dir().join(format!(
            "zebu-interop-rust-{}-{}",
            id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&home).expect("a directory for the container");
        let servers = servers(&image, &home);
        let port = servers.last().expect("a container has a server").port;
        let container =
            Container { servers: Mutex::new(servers), port, home, phantom: PhantomData };
        container.start();
        container
    }
}

#[derive(Debug)]
pub struct Container<'d, I> {
    servers: Mutex<Vec<Server>>,
    /// Of several servers the last: it followed others when they elected.
    port: u16,
    home: PathBuf,
    phantom: PhantomData<(&'d (), I)>,
}

impl<I> Container<'_, I> {
    pub fn start(&self) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter_mut().for_each(Server::start);
        servers.iter_mut().for_each(Server::wait_serving);
    }

    pub fn stop(&self) {
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter_mut()
            .for_each(Server::stop);
    }

    pub fn get_host_port(&self, port: u16) -> u16 {
        assert_eq!(port, INNER_PORT);
        self.port
    }

    pub fn stdout(&self) -> LogStream {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        LogStream { log: servers.last().expect("a container has a server").log.clone() }
    }
}

impl<I> Drop for Container<'_, I> {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.home);
        }
    }
}

#[derive(Debug)]
pub struct LogStream {
    log: PathBuf,
}

impl LogStream {
    pub fn wait_for_message(&self, message: &str) -> Result<(), String> {
        let start = Instant::now();
        while !fs::read_to_string(&self.log).unwrap_or_default().contains(message) {
            if start.elapsed() > PATIENCE {
                return Err(format!("the server never said {message:?}"));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Server {
    port: u16,
    configuration: PathBuf,
    flags: String,
    log: PathBuf,
    process: Option<Child>,
}

impl Server {
    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let command =
            std::env::var("INTEROP_SERVER").expect("INTEROP_SERVER says how to start one");
        let mut words = command.split(' ');
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let mut server = Command::new(words.next().expect("a program"));
        server
            .args(words)
            .arg(&self.configuration)
            .env("SERVER_JVMFLAGS", &self.flags)
            // The same for a server in Java that is started without its script.
            .env("JDK_JAVA_OPTIONS", &self.flags)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log);
        self.process = Some(server.spawn().unwrap_or_else(|e| panic!("cannot run {command}: {e}")));
    }

    fn wait_serving(&mut self) {
        let start = Instant::now();
        while !serves(self.port) {
            let ended = self.process.as_mut().is_none_or(|p| !matches!(p.try_wait(), Ok(None)));
            if ended || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("a server on port {} serves nobody:\n{log}", self.port);
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().and_then(|()| process.wait()).expect("it was ours to end");
        }
    }
}

/// A server without a quorum answers too, but says no mode.
fn serves(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut said = String::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let asked = stream.write_all(b"srvr").and_then(|()| stream.read_to_string(&mut said));
    asked.is_ok() && said.contains("Mode: ")
}

/// The servers of one container, not yet started: those of its configuration, or by default an
/// ensemble of `INTEROP_SERVERS`.
fn servers(image: &RunnableImage<GenericImage>, home: &Path) -> Vec<Server> {
    let outside = |inside: &str| image.volumes.iter().find(|(path, _)| path == inside);
    let given =
        outside("/conf/zoo.cfg").map(|(_, path)| fs::read_to_string(path).expect("zoo.cfg"));
    let wanted = std::env::var("INTEROP_SERVERS").map_or(1, |n| n.parse().expect("a number"));
    let alone = image.on_host || given.as_ref().is_some_and(|text| text.contains("server."));
    let count = if alone { 1 } else { wanted };
    let ports = if image.on_host { vec![] } else { free_ports(3 * count) };
    let mut flags = image.image.environment.get("SERVER_JVMFLAGS").cloned().unwrap_or_default();
    let text = given.unwrap_or_else(|| format!("{DEFAULTS}dataDir=/data\nclientPort=2181\n"));
    let peers: String = (0..count)
        .filter(|_| count > 1)
        .map(|i| format!("server.{}=127.0.0.1:{}:{}\n", i + 1, ports[3 * i + 1], ports[3 * i + 2]))
        .collect();
    for (inside, path) in &image.volumes {
        flags = flags.replace(inside.as_str(), &path.to_string_lossy());
    }
    (0..count)
        .map(|i| {
            let home = home.join(format!("s{}", i + 1));
            let data = outside("/data").map_or_else(|| home.join("data"), |(_, p)| p.clone());
            fs::create_dir_all(&home)
                .and_then(|()| fs::create_dir_all(&data))
                .expect("directories");
            let port = if image.on_host { own_port(&text, &data) } else { ports[3 * i] };
            let mut text = text
                .replace("=/data\n", &format!("={}\n", data.display()))
                .replace("=2181\n", &format!("={port}\n"));
            text += &peers;
            text += "4lw.commands.whitelist=*\nadmin.enableServer=false\n";
            if count > 1 {
                fs::write(data.join("myid"), format!("{}\n", i + 1)).expect("myid");
            }
            let configuration = home.join("zoo.cfg");
            fs::write(&configuration, text).expect("zoo.cfg");
            let flags = flags.clone();
            Server { port, configuration, flags, log: home.join("log"), process: None }
        })
        .collect()
}

/// The client port behind the `;` of the server's own line.
fn own_port(text: &str, data: &Path) -> u16 {
    let myid = fs::read_to_string(data.join("myid")).expect("myid");
    let own = format!("server.{}=", myid.trim());
    let line = text.lines().find(|line| line.starts_with(&own)).expect("a line for each server");
    line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port at its end")
}

fn free_ports(count: usize) -> Vec<u16> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let mut found = vec![];
    while found.len() < count {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (taken + id() as usize * 97) % PORTS.len();
        let port = u16::try_from(port).expect("ports are small");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.push(port);
        }
    }
    found
}
