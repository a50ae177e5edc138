//! `cargo xtask failover`: how long an ensemble is without a leader. Three servers on loopback, as
//! upstream's zoo_sample.cfg times them; their leader is killed, or stopped without a connection
//! breaking, and the time runs until a client has the first write of the next leader acknowledged.
//!
//! The servers are processes of `xtask/interop/steered.py`, which also says how they are configured.

mod seat;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use zebu_core::ids::Epoch;

use crate::interop::{self, Tools};
use crate::shell;
use seat::Seat;

/// Longer than any election: it failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What an ensemble gets to calm down after its last server has come back.
const REST: Duration = Duration::from_millis(700);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure Apache ZooKeeper beside ours, in turn with it.
    #[arg(long)]
    java: bool,
    /// How many leaders are ended with kill -9: their connections break.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// How many leaders are stopped with SIGSTOP: their connections stand, and nothing comes.
    #[arg(long, default_value_t = 3)]
    stops: usize,
    /// tickTime; initLimit is 10 and syncLimit 5 of these.
    #[arg(long, default_value_t = 2000)]
    tick_ms: u64,
    /// A server that is built already; without it a release is built.
    #[arg(long)]
    zebu: Option<PathBuf>,
}

#[derive(Clone, Copy)]
enum Death {
    Kill,
    Stop,
}

impl Death {
    /// What it is called on the way to the script, and in the table.
    fn command(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
    fn signal(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tools = interop::bring_tools()?;
    let zebu = match &args.zebu {
        Some(zebu) => zebu.clone(),
        None => interop::build_server()?,
    };
    let kinds: &[&str] = if args.java { &["zebu", "java"] } else { &["zebu"] };
    let start = |kind: &&'static str| Steered::start(kind, args, &tools, &zebu);
    let mut ensembles = kinds.iter().map(start).collect::<Result<Vec<_>>>()?;
    let mut table = vec![];
    for (death, times) in [(Death::Kill, args.kills), (Death::Stop, args.stops)] {
        let mut took = vec![vec![]; ensembles.len()];
        for round in 0..times {
            // In turn, so that whatever else the machine does meets both kinds.
            for (ensemble, took) in ensembles.iter_mut().zip(&mut took) {
                let time = ensemble.time_without_leader(death, round)?;
                println!("{} {}: {:.1} ms", ensemble.kind, death.signal(), millis(time));
                took.push(time);
            }
        }
        table.extend(ensembles.iter().zip(took).map(|(e, took)| row(e.kind, death, took)));
    }
    for ensemble in ensembles {
        ensemble.end()?;
    }
    println!(
        "\nfrom the leader's death to the first acknowledged write of the next one, ms\n\
         3 servers on loopback, tickTime {}, initLimit 10, syncLimit 5",
        args.tick_ms
    );
    println!("{:<6} {:<8} {:>6} {:>9} {:>9} {:>9}", "", "", "deaths", "median", "least", "most");
    for row in table.into_iter().flatten() {
        println!("{row}");
    }
    Ok(())
}

/// A line of the table; none without a measurement.
fn row(kind: &str, death: Death, mut took: Vec<Duration>) -> Option<String> {
    took.sort();
    let (least, most) = (*took.first()?, *took.last()?);
    let (deaths, signal) = (took.len(), death.signal());
    let [median, least, most] = [median(&took), least, most].map(millis);
    Some(format!("{kind:<6} {signal:<8} {deaths:>6} {median:>9.1} {least:>9.1} {most:>9.1}"))
}

/// Of what is sorted; of an even number, between the two in the middle.
fn median(took: &[Duration]) -> Duration {
    let middle = took.len() / 2;
    if took.len().is_multiple_of(2) { (took[middle - 1] + took[middle]) / 2 } else { took[middle] }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// An ensemble, as `xtask/interop/steered.py` runs it. It ends with the script's input.
struct Steered {
    kind: &'static str,
    script: Child,
    answers: BufReader<ChildStdout>,
    servers: Vec<SocketAddr>,
}

impl Steered {
    fn start(kind: &'static str, args: &Args, tools: &Tools, zebu: &Path) -> Result<Self> {
        let mut command = Command::new(&tools.python);
        command
            .arg(shell::root().join("xtask/interop/steered.py"))
            .args(["--kind", kind, "--tick", &args.tick_ms.to_string(), "--zebu"])
            .arg(zebu)
            .arg("--cache")
            .arg(&tools.cache)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        println!("$ {}", shell::shown(&command));
        let mut script = command.spawn().context("cannot run python")?;
        let answers = BufReader::new(script.stdout.take().context("stdout is piped")?);
        let mut steered = Self { kind, script, answers, servers: vec![] };
        let said = steered.answer()?;
        let ports = said.strip_prefix("ports ").with_context(|| format!("`{said}`, no ports"))?;
        for port in ports.split(' ') {
            steered.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)));
        }
        Ok(steered)
    }

    /// What the script says to a command, behind its `ok`.
    fn ask(&mut self, command: &str) -> Result<String> {
        let script = self.script.stdin.as_mut().context("stdin is piped")?;
        // In one piece, and at once: the time runs.
        script.write_all(format!("{command}\n").as_bytes())?;
        script.flush()?;
        let said = self.answer()?;
        match said.strip_prefix("ok") {
            Some(answer) => Ok(answer.trim().to_owned()),
            None => bail!("{} ensemble, {command}: {said}", self.kind),
        }
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.answers.read_line(&mut line)?;
        ensure!(length > 0, "the {} ensemble ended", self.kind);
        Ok(line.trim().to_owned())
    }

    /// Ends the leader, times it, and brings everything back.
    fn time_without_leader(&mut self, death: Death, round: usize) -> Result<Duration> {
        let leader: usize = self.ask("leader")?.parse()?;
        let survivors = (1..).zip(&self.servers).filter(|(number, _)| *number != leader);
        let mut seats =
            survivors.map(|(_, server)| Seat::take(*server)).collect::<Result<Vec<_>>>()?;
        let epoch = seats.iter().map(Seat::epoch).max().context("no survivors")?;
        let (found, first) = mpsc::channel();
        let over = AtomicBool::new(false);
        let time = thread::scope(|scope| {
            for seat in &mut seats {
                let (found, over) = (found.clone(), &over);
                scope.spawn(move || {
                    if let Some(at) = first_write_after(epoch, seat, over) {
                        // Nobody waits for the second one.
                        let _ = found.send(at);
                    }
                });
            }
            // At another place between two ticks each time.
            thread::sleep(REST + Duration::from_millis(round as u64 * 137 % 1000));
            let death_at = Instant::now();
            let told = self.ask(&format!("{} {leader}", death.command()));
            let write = first.recv_timeout(PATIENCE);
            over.store(true, Ordering::Relaxed);
            told?;
            let write = write.map_err(|_| anyhow!("no leader after {PATIENCE:?}"))?;
            Ok::<_, anyhow::Error>(write.saturating_duration_since(death_at))
        })?;
        self.ask(&format!("start {leader}"))?;
        Ok(time)
    }

    fn end(mut self) -> Result<()> {
        drop(self.script.stdin.take());
        std::io::copy(&mut self.answers, &mut std::io::sink())?;
        let status = self.script.wait()?;
        ensure!(status.success(), "the {} ensemble did not end well", self.kind);
        Ok(())
    }
}

/// Writes without a pause worth mentioning, over whatever connection there is, until a leader of a
/// later epoch has acknowledged a write.
fn first_write_after(epoch: Epoch, seat: &mut Seat, over: &AtomicBool) -> Option<Instant> {
    const PAUSE: Duration = Duration::from_millis(1);
    while !over.load(Ordering::Relaxed) {
        if seat.write(over).is_ok() && seat.epoch() > epoch {
            return Some(Instant::now());
        }
        thread::sleep(PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let took = |millis: &[u64]| millis.iter().map(|ms| Duration::from_millis(*ms)).collect();
        assert_eq!(row("zebu", Death::Kill, vec![]), None);
        for (times, expected) in [
            (&[30, 10, 20][..], "zebu   SIGSTOP       3      20.0      10.0      30.0"),
            (&[40, 10, 20, 30][..], "zebu   SIGSTOP       4      25.0      10.0      40.0"),
        ] {
            assert_eq!(row("zebu", Death::Stop, took(times)).unwrap(), expected);
        }
    }
}
