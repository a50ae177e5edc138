//! `cargo xtask differential`: the same random operations of several sessions, sent to Apache
//! ZooKeeper and to our server, each alone; every reply and every watch event must be the same,
//! field by field. Only times, session ids and the first zxid may differ, and what
//! [`known`] lists. What servers do by themselves is compared apart from that, in [`rounds`].
//!
//! How Java comes here and how both are started stands in [`crate::interop`].

mod client;
mod compare;
mod full;
mod known;
mod play;
mod rounds;
mod sequence;
mod words;

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{interop, shell};
use compare::{Difference, Servers};
use sequence::Step;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many sequences to try.
    #[arg(long, default_value_t = 2000)]
    cases: u64,
    /// The seed of the first sequence; the next one has the next seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many lives of containers and TTL nodes to try, all at once, after the sequences.
    #[arg(long, default_value_t = 100)]
    lives: u64,
    /// Go on after a difference.
    #[arg(long)]
    keep_going: bool,
    /// A server that is built already; without it a release is built.
    #[arg(long)]
    zebu: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = Programs::bring(args)?;
    let mut pair = Pair::start(&programs, &[])?;
    let outcome = try_cases(args, &mut pair.servers);
    let ended = pair.end();
    let differed = outcome?;
    ended?;
    ensure!(differed == 0, "{differed} of the cases differ");
    let interval = rounds::INTERVAL_MS.to_string();
    let pair = Pair::start(&programs, &["--containers-ms", &interval])?;
    let Servers { java, zebu, .. } = pair.servers;
    let outcome = rounds::compare(java, zebu, args.lives, args.seed);
    let ended = pair.end();
    let differed = outcome?;
    ended?;
    ensure!(differed == 0, "{differed} of the lives differ");
    println!("differential: no difference");
    Ok(())
}

/// Tries one sequence after the other, up to the first that differs unless told to go on; how many
/// differed.
fn try_cases(args: &Args, servers: &mut Servers) -> Result<u64> {
    let begun = Instant::now();
    let mut differed = 0;
    for (done, seed) in (1..=args.cases).zip(args.seed..) {
        let mut case = drawn(seed)?;
        if let Some(found) = servers.compare(&case.current())? {
            differed += 1;
            let (smallest, tries) = smallest(case.as_mut(), found, servers)?;
            println!("{smallest}\nmade smaller in {tries} tries; to repeat:");
            println!("  cargo xtask differential --cases 1 --seed {seed}");
        }
        let last = done == args.cases || differed > 0 && !args.keep_going;
        if last || done.is_multiple_of(100) {
            let (agreed, seconds) = (servers.agreed, begun.elapsed().as_secs_f32());
            println!("{done} cases, {agreed} steps agreed, {seconds:.1} s");
        }
        if last {
            break;
        }
    }
    for (operation, [succeeded, refused]) in &servers.outcomes {
        println!("{operation}: {succeeded} succeeded, {refused} refused");
    }
    println!("{} events", servers.events);
    for (what, times) in &servers.known {
        println!("known, {times} times: {what}");
    }
    Ok(differed)
}

type Case = dyn ValueTree<Value = Vec<Step>>;

fn drawn(seed: u64) -> Result<Box<Case>> {
    Ok(Box::new(draw(&sequence::steps(), seed)?))
}

fn draw<S: Strategy>(strategy: &S, seed: u64) -> Result<S::Tree> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = strategy.new_tree(&mut runner);
    tree.map_err(|why| anyhow::anyhow!("nothing to draw for seed {seed}: {why}"))
}

/// The smallest sequence that still differs, as far as proptest finds it.
fn smallest(
    case: &mut Case,
    mut found: Difference,
    servers: &mut Servers,
) -> Result<(Difference, u32)> {
    const TRIES_MAX: u32 = 1000;
    let mut tries = 0;
    let mut more = case.simplify();
    while more && tries < TRIES_MAX {
        tries += 1;
        more = match servers.compare(&case.current())? {
            Some(smaller) => {
                found = smaller;
                case.simplify()
            }
            None => case.complicate(),
        };
    }
    Ok((found, tries))
}

/// What servers are started from.
struct Programs {
    tools: interop::Tools,
    zebu: PathBuf,
    snapshot: PathBuf,
}

impl Programs {
    fn bring(args: &Args) -> Result<Self> {
        let tools = interop::bring_tools()?;
        let zebu = match &args.zebu {
            Some(zebu) => zebu.clone(),
            None => interop::build_server()?,
        };
        let snapshot = full::write_snapshot(&tools.cache.join("differential"))?;
        Ok(Self { tools, zebu, snapshot })
    }
}

/// Both servers, as processes of `xtask/interop/pair.py`, which ends them when its input does.
struct Pair {
    script: Child,
    /// Kept, for the script says more at its end.
    output: BufReader<ChildStdout>,
    servers: Servers,
}

impl Pair {
    fn start(programs: &Programs, options: &[&str]) -> Result<Self> {
        let Programs { tools, zebu, snapshot } = programs;
        let mut command = Command::new(&tools.python);
        command
            .arg(shell::root().join("xtask/interop/pair.py"))
            .arg("--zebu")
            .arg(zebu)
            .arg("--cache")
            .arg(&tools.cache)
            .arg("--snapshot")
            .arg(snapshot)
            .args(options)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        println!("$ {}", shell::shown(&command));
        let mut script = command.spawn().context("cannot run python")?;
        let mut output = BufReader::new(script.stdout.take().context("stdout is piped")?);
        let ports = output.by_ref().lines().map_while(Result::ok).find_map(ports);
        let [java, zebu] = ports.context("the servers did not start")?;
        let servers = Servers::at(java, zebu)?;
        Ok(Self { script, output, servers })
    }

    fn end(mut self) -> Result<()> {
        drop(self.script.stdin.take());
        std::io::copy(&mut self.output, &mut std::io::sink())?;
        let status = self.script.wait()?;
        ensure!(status.success(), "a server did not last");
        Ok(())
    }
}

/// Java's and ours, from a line of two port numbers; what else is said before that is not for us.
fn ports(line: String) -> Option<[SocketAddr; 2]> {
    let mut words = line.split(' ').map(|word| word.parse::<u16>().ok());
    let (java, zebu) = (words.next()??, words.next()??);
    Some([java, zebu].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}
