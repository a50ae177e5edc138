//! One case on both servers, step by step, until they differ; and how that is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;

use super::known::{Case, KNOWN, Remedy};
use super::play::{Player, Said};
use super::sequence::Step;

pub(super) struct Servers {
    pub(super) java: SocketAddr,
    pub(super) zebu: SocketAddr,
    /// Cases that were begun, and so directories.
    pub(super) begun: u64,
    /// Steps that both answered in the same way.
    pub(super) agreed: u64,
    /// How often each of [`KNOWN`] was met.
    pub(super) known: BTreeMap<&'static str, u64>,
}

/// A case up to the step that was answered differently.
pub(super) struct Difference(Vec<StepShown>);

struct StepShown {
    step: String,
    java: Vec<String>,
    zebu: Vec<String>,
}

/// The directory under which every case has its own.
pub(super) const ROOT: &str = "/d";

impl Servers {
    pub(super) fn at(java: SocketAddr, zebu: SocketAddr) -> Result<Self> {
        for server in [java, zebu] {
            Player::enter(server, ROOT)?.leave()?;
        }
        Ok(Self { java, zebu, begun: 0, agreed: 0, known: BTreeMap::new() })
    }

    pub(super) fn compare(&mut self, steps: &[Step]) -> Result<Option<Difference>> {
        self.begun += 1;
        let directory = format!("{ROOT}/{:06}", self.begun);
        let mut java = Player::enter(self.java, &directory)?;
        let mut zebu = Player::enter(self.zebu, &directory)?;
        let mut shown = Vec::new();
        let mut differs = false;
        for (at, step) in steps.iter().enumerate() {
            let case = Case { before: &steps[..at], step, directory: &directory };
            let one = self.compare_step(&mut java, &mut zebu, &case)?;
            differs = one.java != one.zebu;
            shown.push(one);
            if differs {
                break;
            }
            self.agreed += 1;
        }
        java.leave()?;
        zebu.leave()?;
        Ok(differs.then_some(Difference(shown)))
    }

    fn compare_step(
        &mut self,
        java: &mut Player,
        zebu: &mut Player,
        case: &Case<'_>,
    ) -> Result<StepShown> {
        let step = case.step;
        let (mut java_said, mut zebu_said) = (java.step(step)?, zebu.step(step)?);
        let mut reconnect = false;
        for known in KNOWN {
            for remedy in (known.remedies)(case, &java_said, &zebu_said) {
                *self.known.entry(known.what).or_default() += 1;
                match remedy {
                    Remedy::Discount(zxid) => java.words.discount(zxid),
                    Remedy::Reconnect => reconnect = true,
                    Remedy::LeaveOut { session, event } => {
                        zebu_said.leave_out(step.session, session, &event);
                    }
                }
            }
        }
        if reconnect {
            for (player, said) in [(&mut *java, &mut java_said), (&mut *zebu, &mut zebu_said)] {
                said.leave_out_session(step.session);
                player.renew(step.session)?;
            }
        }
        Ok(StepShown {
            step: format!("{step:?}"),
            java: lines(java, &java_said),
            zebu: lines(zebu, &zebu_said),
        })
    }
}

fn lines(player: &Player, said: &Said) -> Vec<String> {
    let own = said.own.iter().map(|heard| player.words.heard(heard));
    let behind = said.behind.iter();
    let behind =
        behind.map(|(session, heard)| format!("then {session}: {}", player.words.heard(heard)));
    own.chain(behind).collect()
}

/// Wide enough for most lines; a longer one shifts its neighbour.
const COLUMN: usize = 76;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:COLUMN$}   zebu", "java")?;
        for StepShown { step, java, zebu } in &self.0 {
            writeln!(f, "{step}")?;
            for at in 0..java.len().max(zebu.len()) {
                let line = |side: &[String]| side.get(at).cloned().unwrap_or_default();
                let (java, zebu) = (line(java), line(zebu));
                let mark = if java == zebu { ' ' } else { '!' };
                writeln!(f, "  {java:COLUMN$} {mark} {zebu}")?;
            }
        }
        Ok(())
    }
}
