//! `zebu cli`: a client for people, one command or a prompt. Commands are read by [`command`],
//! carried out by core's own client machine in [`session`], shown by [`show`]; those about quotas,
//! which take several requests, stand in [`quota`], those about the ensemble in [`ensemble`].

mod command;
mod ensemble;
mod quota;
mod session;
mod show;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::sync::mpsc;

use zebu_core::proto::{Request, Response};

use crate::settings::Address;
use command::{Command, Line, Plan};
use session::{Happened, Session};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Servers to choose from: host:port, separated by commas
    #[arg(short, long, default_value = "127.0.0.1:2181", value_parser = parse_servers)]
    server: Servers,
    /// Milliseconds until the session expires without this client; also how long to wait for a server
    #[arg(short, long, default_value_t = 10_000)]
    timeout: u32,
    /// Who to be: scheme:credentials, as in digest:user:password; may be given several times
    #[arg(long, value_name = "SCHEME:CREDENTIALS", value_parser = parse_auth)]
    auth: Vec<Request>,
    /// Without a command, a prompt; from a pipe, a command for each line
    #[command(subcommand)]
    command: Option<Command>,
}

type Servers = Vec<Address>;

/// `host:port,host:port`; the port is 2181 when it is left out.
fn parse_servers(text: &str) -> Result<Servers, String> {
    let one = |text: &str| {
        let text = text.trim();
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, "2181"),
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or("")),
            None => text.split_once(':').unwrap_or((text, "2181")),
        };
        match (host, port.parse()) {
            ("", _) | (_, Err(_)) => Err(format!("expected host:port, found {text:?}")),
            (host, Ok(port)) => Ok(Address::new(host, port)),
        }
    };
    text.split(',').map(one).collect()
}

/// `scheme:credentials`, where credentials may have colons of their own.
fn parse_auth(text: &str) -> Result<Request, String> {
    match text.split_once(':') {
        Some((scheme, credentials)) if !scheme.is_empty() => {
            Ok(Request::Auth { scheme: scheme.into(), auth: credentials.to_owned().into() })
        }
        // What it is instead may be a password.
        _ => Err("expected scheme:credentials, as in digest:user:password".into()),
    }
}

/// Carries out the command, or what is typed.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { server, timeout, auth, command } = arguments;
    let patience = Duration::from_millis(timeout.into());
    let mut session = Session::start(server, patience)?;
    session.opened(patience).await?;
    for auth in auth {
        let response = session.answered(auth).await.context("authentication");
        if response.is_err() {
            session.close().await;
        }
        response?;
    }
    let code = match command {
        Some(command) => match carry_out(&mut session, command).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                session.close().await;
                return Err(error);
            }
        },
        None => prompt(&mut session).await?,
    };
    session.close().await;
    Ok(code)
}

async fn carry_out(session: &mut Session, command: Command) -> anyhow::Result<()> {
    let what = command.to_string();
    match command.plan() {
        Plan::Ask(request, show) => {
            let response = session.answered(request).await.with_context(|| what)?;
            show::response(&response, show)
        }
        Plan::SetQuota(limit, path) => {
            quota::set(session, &limit, &path).await.with_context(|| what)
        }
        Plan::ListQuota(path) => quota::list(session, &path).await.with_context(|| what),
        Plan::DelQuota(limit, path) => {
            quota::delete(session, &limit, &path).await.with_context(|| what)
        }
        Plan::ShowClients { watch, stat } => {
            ensemble::show_clients(session, watch, stat).await.with_context(|| what)
        }
        Plan::Reconfig(words) => ensemble::reconfigure(session, &words).await.with_context(|| what),
    }
}

async fn prompt(session: &mut Session) -> anyhow::Result<ExitCode> {
    let interactive = std::io::stdin().is_terminal();
    let mut lines = read_lines(interactive);
    let mut code = ExitCode::SUCCESS;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            happened = session.next() => {
                show::happened(&happened);
                continue;
            }
        };
        // `done` lets the prompt come back behind the output.
        let Some((line, _done)) = line else { break };
        let words = match command::words(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => words,
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        if matches!(words[0].as_str(), "quit" | "exit") {
            break;
        }
        let failed = match Line::try_parse_from(words) {
            Ok(line) => {
                carry_out(session, line.command).await.map_err(|error| format!("{error:#}"))
            }
            Err(error) => Err(error.render().to_string()),
        };
        if let Err(error) = failed {
            eprintln!("{}", error.trim_end());
            code = ExitCode::FAILURE;
        }
    }
    // A person saw the errors; a script asks for the exit code.
    Ok(if interactive { ExitCode::SUCCESS } else { code })
}

/// A line, and what is dropped once it is dealt with.
type Typed = (String, std::sync::mpsc::Sender<()>);

/// Lines from the terminal or a pipe, read by a thread: reading blocks.
fn read_lines(interactive: bool) -> mpsc::Receiver<Typed> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let pass_on = |line: String| {
            let (done, dealt_with) = std::sync::mpsc::channel();
            let passed = sender.blocking_send((line, done)).is_ok();
            let _ = dealt_with.recv();
            passed
        };
        if !interactive {
            let _ = std::io::stdin().lines().map_while(Result::ok).all(pass_on);
            return;
        }
        let Ok(mut editor) = rustyline::DefaultEditor::new() else { return };
        while let Ok(line) = editor.readline("zebu> ") {
            let _ = editor.add_history_entry(&line);
            if !pass_on(line) {
                break;
            }
        }
    });
    lines
}

impl Session {
    /// The answer to `request`; what happens meanwhile is shown.
    async fn answered(&mut self, request: Request) -> anyhow::Result<Response> {
        let call = self.submit(request);
        loop {
            match self.next().await {
                Happened::Answered(answered, response) if answered == call => return response,
                other => show::happened(&other),
            }
        }
    }

    /// Waits until a server has taken us in.
    async fn opened(&mut self, patience: Duration) -> anyhow::Result<()> {
        let opened = async {
            while self.session().is_none() {
                self.next().await;
            }
        };
        if tokio::time::timeout(patience, opened).await.is_ok() {
            return Ok(());
        }
        match self.last_error() {
            Some(error) => bail!("no server took us in: {error}"),
            None => bail!("no server took us in within {} ms", patience.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_stands_behind_the_scheme() {
        let auth = |scheme: &str, auth: &'static str| {
            Ok(Request::Auth { scheme: scheme.into(), auth: auth.into() })
        };
        assert_eq!(parse_auth("digest:ann:s:x"), auth("digest", "ann:s:x"));
        assert_eq!(parse_auth("ip:"), auth("ip", ""));
        for bad in ["digest", ":ann", ""] {
            assert!(parse_auth(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn server_lists() {
        let cases = [
            ("a:1,b:2", Ok(vec![Address::new("a", 1), Address::new("b", 2)])),
            ("a", Ok(vec![Address::new("a", 2181)])),
            ("[::1]:7", Ok(vec![Address::new("::1", 7)])),
            ("[::1]", Ok(vec![Address::new("::1", 2181)])),
            ("a:x", Err("expected host:port, found \"a:x\"".to_owned())),
            ("", Err("expected host:port, found \"\"".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_servers(text), expected, "{text}");
        }
    }
}
