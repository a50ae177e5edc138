//! The binary `zebu`: reads the command line, chooses the runtime, and hands over.

#[cfg(madsim)]
fn main() {
    panic!("under madsim the driver is run by the simulator");
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    command_line::main()
}

#[cfg(not(madsim))]
mod command_line {
    use std::io::IsTerminal;
    use std::path::PathBuf;
    use std::process::ExitCode;

    use clap::{Parser, Subcommand};
    use tracing_subscriber::EnvFilter;
    use zebu_net_real::serve::Source;
    use zebu_net_real::{cli, serve, tools};

    /// A coordination service for ZooKeeper's clients, data and ensembles.
    ///
    /// Without a command: one server to try things out with, on 127.0.0.1:2181.
    #[derive(Debug, Parser)]
    #[command(name = "zebu", version)]
    struct Arguments {
        #[command(subcommand)]
        command: Option<Command>,
    }

    #[derive(Debug, Subcommand)]
    enum Command {
        /// Run a server
        Server(Server),
        /// Talk to a server: one command, or a prompt
        Cli(cli::Arguments),
        /// Look into transaction logs: print, check, chop, recover
        #[command(subcommand)]
        Log(tools::log::Command),
        /// Look into snapshots: print, check, compare, summarise
        #[command(subcommand)]
        Snapshot(tools::snapshot::Command),
    }

    #[derive(Debug, Default, clap::Args)]
    struct Server {
        /// ZooKeeper's configuration file, zoo.cfg; without it, one server on 127.0.0.1 to try things
        /// out with
        file: Option<PathBuf>,
        /// Where that one server takes clients [default: 2181]
        #[arg(long, conflicts_with = "file")]
        port: Option<u16>,
        /// Where it keeps its data [default: ./zebu-data]
        #[arg(long, value_name = "DIR", conflicts_with = "file")]
        data_dir: Option<PathBuf>,
        /// Threads for connections; the log has one of its own besides
        #[arg(long, default_value_t = 1)]
        threads: usize,
    }

    impl Server {
        fn source(&self) -> Source {
            match &self.file {
                Some(file) => Source::ZooCfg(file.clone()),
                None => Source::Trial {
                    port: self.port.unwrap_or(Source::TRIAL_PORT),
                    data_dir: self.data_dir.clone().unwrap_or_else(|| Source::TRIAL_DIR.into()),
                },
            }
        }
    }

    pub(super) fn main() -> ExitCode {
        let command = Arguments::parse().command.unwrap_or(Command::Server(Server::default()));
        let done = match command {
            Command::Server(server) => {
                log_to_stderr("info");
                run(server.threads, serve::server(server.source()))
            }
            Command::Cli(arguments) => {
                log_to_stderr("warn");
                run(1, cli::run(arguments))
            }
            Command::Log(command) => Ok(tools::run(|out| command.run(out))),
            Command::Snapshot(command) => Ok(tools::run(|out| command.run(out))),
        };
        done.unwrap_or_else(|error| {
            eprintln!("zebu: {error:#}");
            ExitCode::FAILURE
        })
    }

    /// `RUST_LOG` overrules `level`.
    fn log_to_stderr(level: &str) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init();
    }

    /// One thread serves best until measurements say otherwise; more run the same tasks.
    fn run<F>(threads: usize, main: F) -> anyhow::Result<ExitCode>
    where
        F: Future<Output = anyhow::Result<ExitCode>> + Send + 'static,
    {
        let mut builder = match threads {
            0 | 1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        if threads > 1 {
            builder.worker_threads(threads);
        }
        let runtime = builder.enable_all().build()?;
        // Spawned, so that the driver runs on a worker like everything else.
        let done = runtime.block_on(async { tokio::spawn(main).await })?;
        // What is left, a thread that reads the terminal say, is not waited for.
        runtime.shutdown_background();
        done
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_a_server_is_started_from() {
            let trial = |port, dir: &str| Source::Trial { port, data_dir: dir.into() };
            for (words, expected) in [
                (&["zebu", "server"][..], Ok(trial(2181, "./zebu-data"))),
                (&["zebu", "server", "--port", "0", "--data-dir", "/d"], Ok(trial(0, "/d"))),
                (&["zebu", "server", "zoo.cfg"], Ok(Source::ZooCfg("zoo.cfg".into()))),
                (&["zebu", "server", "zoo.cfg", "--port", "1"], Err("--port")),
                (&["zebu", "server", "--port", "65536"], Err("65536")),
            ] {
                match (Arguments::try_parse_from(words), expected) {
                    (Ok(Arguments { command: Some(Command::Server(server)) }), Ok(expected)) => {
                        assert_eq!(server.source(), expected);
                    }
                    (Err(error), Err(names)) => assert!(error.to_string().contains(names)),
                    (parsed, _) => panic!("{words:?}: {parsed:?}"),
                }
            }
            assert_eq!(Server::default().source(), trial(2181, "./zebu-data"));
        }
    }
}
