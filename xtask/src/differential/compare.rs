//! One case on both servers, step by step, until they differ; and how that is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;
use zebu_core::proto::OpCode;

use super::full;
use super::known::{Case, KNOWN, Remedy, is_refusal};
use super::play::{Player, Said};
use super::sequence::{Action, Step};

pub(super) struct Servers {
    pub(super) java: SocketAddr,
    pub(super) zebu: SocketAddr,
    /// Cases that were begun, and so directories.
    pub(super) begun: u64,
    /// Steps that both answered in the same way.
    pub(super) agreed: u64,
    /// What they agreed about: by operation, successes and refusals; and events.
    pub(super) outcomes: BTreeMap<&'static str, [u64; 2]>,
    pub(super) events: u64,
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
            Player::enter(server, ROOT, full::parent_of(0))?.leave()?;
        }
        Ok(Self {
            java,
            zebu,
            begun: 0,
            agreed: 0,
            outcomes: BTreeMap::new(),
            events: 0,
            known: BTreeMap::new(),
        })
    }

    pub(super) fn compare(&mut self, steps: &[Step]) -> Result<Option<Difference>> {
        self.begun += 1;
        let directory = format!("{ROOT}/{:06}", self.begun);
        let full = full::parent_of(self.begun);
        let mut java = Player::enter(self.java, &directory, full.clone())?;
        let mut zebu = Player::enter(self.zebu, &directory, full)?;
        let mut shown = Vec::new();
        let mut differs = false;
        for step in steps {
            let case = Case { step };
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
        self.count(step, &java_said);
        let mut shown = show(step, java, &java_said, zebu, &zebu_said);
        if shown.java != shown.zebu
            && self.remedy(java, zebu, case, &mut java_said, &mut zebu_said)?
        {
            shown = show(step, java, &java_said, zebu, &zebu_said);
        }
        Ok(shown)
    }

    /// Makes alike what differs in known ways; false if there are none here.
    fn remedy(
        &mut self,
        java: &mut Player,
        zebu: &mut Player,
        case: &Case<'_>,
        java_said: &mut Said,
        zebu_said: &mut Said,
    ) -> Result<bool> {
        let mut found = false;
        for known in KNOWN {
            for remedy in (known.remedies)(case, java_said, zebu_said) {
                found = true;
                *self.known.entry(known.what).or_default() += 1;
                match remedy {
                    Remedy::Discount(zxid) => java.words.discount(zxid),
                    Remedy::SetReplyAside { java: at_java, zebu: at_zebu } => {
                        let ours = zebu.words.since_start(at_zebu);
                        if java.words.since_start(at_java) == ours + 1 {
                            java.words.discount(at_java);
                        }
                        java_said.own.pop();
                        zebu_said.own.pop();
                    }
                    Remedy::SortEvents => {
                        java_said.sort_events();
                        zebu_said.sort_events();
                    }
                }
            }
        }
        Ok(found)
    }

    fn count(&mut self, step: &Step, said: &Said) {
        self.events += said.events(step.session).len() as u64;
        let Action::Ask(requests) = &step.action else { return };
        for (request, (_, result)) in requests.iter().zip(said.replies()) {
            let opcode = OpCode::from_number(request.opcode());
            let name = opcode.map_or("unknown", OpCode::name);
            let refused = usize::from(is_refusal(result));
            self.outcomes.entry(name).or_default()[refused] += 1;
        }
    }
}

fn show(
    step: &Step,
    java: &Player,
    java_said: &Said,
    zebu: &Player,
    zebu_said: &Said,
) -> StepShown {
    StepShown {
        step: format!("{step:?}"),
        java: lines(java, java_said),
        zebu: lines(zebu, zebu_said),
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
