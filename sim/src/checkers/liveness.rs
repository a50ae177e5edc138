//! Progress. Once faults have stopped, and within the bound T that the scenario allows: one leader
//! is established and stays (L-LEAD), every server serves (L-JOIN), every request is answered or its
//! connection closed (L-CLI), sessions whose clients are gone are closed (L-EXP), and when writes stop
//! all servers reach the same state (L-EQ). At any time: a leader that has heard from no quorum for
//! syncLimit stops serving (L-STEP), and every disk that the crash model allows can be started from
//! (L-BOOT). Where a scenario is calm there is one election and no expiry (L-CALM).
//!
//! Where the ensemble was changed, those who are in it in the end serve; who was removed, or never came
//! in, need not.
//!
//! Permitted: anything while faults go on, but for L-STEP and L-BOOT; a leader that was not let run
//! (paused) notices when it runs again, with the first thing that it is told.

use std::collections::BTreeMap;

use zebu_core::client::{CallId, SessionEvent};
use zebu_core::ids::ServerId;
use zebu_core::proto::{ClientMessage, QuorumPacket};
use zebu_core::server::{Action, Event, PeerMessage};
use zebu_core::txn::TxnBody;

use super::facts::Facts;
use super::facts::ledger::show;
use super::{Check, ensure};
use crate::history::{ClientId, Observation, SimTime, View, Violation};
use crate::model::membership::{Groups, is_quorum};

#[derive(Debug, Default)]
pub struct Liveness {
    /// Faults stopped.
    since: Option<SimTime>,
    /// Past that and T, L-LEAD and L-JOIN hold.
    settled: bool,
    /// The last thing that begins all timeouts anew: faults stopped, a server started, a leader was
    /// established.
    disturbed: SimTime,
    /// The newest epoch in which a leader is established, and who.
    established: Option<(u32, ServerId)>,
    /// Servers that were told UPTODATE in their present life, with the epoch.
    joined: BTreeMap<ServerId, u32>,
    calls: BTreeMap<(ClientId, CallId), SimTime>,
    leaders: BTreeMap<ServerId, Pulse>,
    /// When a client of a session was last heard anywhere, or told that it is open; or it was opened.
    /// The client may be gone by then, and nobody is told.
    heard: BTreeMap<u64, SimTime>,
}

/// When a leader heard from whom.
#[derive(Debug, Default)]
struct Pulse {
    heard: BTreeMap<ServerId, SimTime>,
    established_at: SimTime,
    /// Its time is not up before then.
    good_until: SimTime,
    /// It was told something when its time was already up.
    warned_at: Option<SimTime>,
}

impl Check for Liveness {
    fn observe(
        &mut self,
        facts: &Facts,
        view: &View<'_>,
        what: &Observation<'_>,
    ) -> Result<(), Violation> {
        if !self.settled && self.since.is_some_and(|t| facts.now > t + facts.info.liveness_bound) {
            self.settled = true;
            self.is_settled(facts, view)?;
        }
        for committed in &facts.news.committed {
            let txn = &committed.proposed.txn;
            if let TxnBody::CreateSession { .. } = txn.body {
                self.heard.insert(txn.header.session.0, facts.now);
            }
        }
        match what {
            Observation::NotStarted { server, why } => {
                let what = format!("{server:?} cannot start: {why}");
                return Err(Violation { property: "L-BOOT", what });
            }
            Observation::LivenessPhase => {
                self.since = Some(facts.now);
                self.disturbed = facts.now;
            }
            Observation::Call { client, call, .. } => {
                self.calls.insert((*client, *call), facts.now);
            }
            Observation::Completed { client, call, .. } => {
                let asked = self.calls.remove(&(*client, *call));
                return self.in_time(facts, *client, asked);
            }
            Observation::Started { server } | Observation::Stopped { server, .. } => {
                self.joined.remove(server);
                self.leaders.remove(server);
                self.disturbed = facts.now;
            }
            Observation::Event { server, event } => self.on_event(facts, *server, event),
            Observation::Action { server, action } => {
                return self.on_action(facts, *server, action);
            }
            Observation::Session {
                event: SessionEvent::Opened { session, .. } | SessionEvent::Resumed { session },
                ..
            } => {
                self.heard.insert(session.0, facts.now);
            }
            Observation::Sent { client, .. } => {
                if let Some(session) = facts.conn(*client).and_then(|conn| conn.session()) {
                    self.heard.insert(session, facts.now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The world waits for progress as long as T, and ends when clients are done and states equal.
    fn finish(&mut self, facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        let Some(since) = self.since else { return Ok(()) };
        if facts.now > since + facts.info.liveness_bound {
            self.is_settled(facts, view)?;
        }
        self.is_equal(facts, view)?;
        for ((client, call), asked) in &self.calls {
            self.in_time(facts, *client, Some(*asked)).map_err(|mut broken| {
                broken.what.push_str(&format!(" ({call:?}, never)"));
                broken
            })?;
        }
        self.is_expired(facts)
    }
}

impl Liveness {
    fn is_settled(&self, facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        let leaders = facts.servers().iter().filter(|server| server.running && server.established);
        let newest = leaders.filter(|server| server.leads.is_some()).max_by_key(|s| s.leads);
        let Some(leader) = newest else {
            let what = format!("no leader is established; the last was {:?}", self.established);
            return Err(Violation { property: "L-LEAD", what });
        };
        for server in view.servers.iter().filter(|server| facts.is_member(server.id)) {
            let joined = self.joined.get(&server.id).copied() == leader.leads;
            ensure(server.id.0 == leader.id || joined, "L-JOIN", || {
                let epoch = leader.leads;
                format!("{:?} has not joined server {} in {epoch:?}", server.id, leader.id)
            })?;
        }
        Ok(())
    }

    fn is_equal(&self, facts: &Facts, view: &View<'_>) -> Result<(), Violation> {
        for server in view.servers.iter().filter(|server| facts.is_member(server.id)) {
            let last = server.database.map(|database| database.last_processed.0);
            let place = last.and_then(|last| facts.ledger.resolve(last));
            ensure(place == Some(facts.ledger.tip()), "L-EQ", || {
                let (id, last, tip) = (server.id, last.map(show), show(facts.ledger.tip()));
                format!("{id:?} ends at {last:?}, committed is {tip}")
            })?;
        }
        Ok(())
    }

    fn is_expired(&self, facts: &Facts) -> Result<(), Violation> {
        for (session, state) in facts.model.sessions.iter().filter(|(_, s)| s.closed.is_none()) {
            let heard = self.heard.get(session).copied().unwrap_or(0).max(self.disturbed);
            let timeout = state.timeout_ms as SimTime * 1_000_000;
            // A tick to round up, one to report and ask once more, and time to commit.
            let due = heard + timeout + timeout * facts.info.drift_ppm / 500_000 + 4 * facts.tick();
            ensure(facts.now <= due, "L-EXP", || {
                let silent = (facts.now - heard) / 1_000_000;
                format!("session {session:x} is open after {silent} ms of silence")
            })?;
        }
        Ok(())
    }

    fn in_time(
        &self,
        facts: &Facts,
        client: ClientId,
        asked: Option<SimTime>,
    ) -> Result<(), Violation> {
        let (Some(asked), Some(since)) = (asked, self.since) else { return Ok(()) };
        // A client's own timeout to find another server is on top.
        let due = asked.max(since) + facts.info.liveness_bound;
        ensure(facts.now <= due, "L-CLI", || {
            let waited = (facts.now - asked) / 1_000_000;
            format!("{client:?} waited {waited} ms for the end of a call")
        })
    }

    fn on_event(&mut self, facts: &Facts, server: ServerId, event: &Event) {
        let known = facts.server(server);
        if let Event::Peer { link, message: PeerMessage::Quorum(packet) } = event {
            match packet {
                QuorumPacket::LeaderInfo { epoch, .. } => {
                    // Counts once UPTODATE comes.
                    self.joined.insert(server, u32::MAX - epoch.0);
                }
                QuorumPacket::UpToDate => {
                    if let Some(epoch) = self.joined.get_mut(&server) {
                        *epoch = u32::MAX - *epoch;
                    }
                }
                _ => {}
            }
            let peer = known.links.get(link).and_then(|link| link.peer);
            if let (Some(peer), Some(pulse)) = (peer, self.leaders.get_mut(&server)) {
                pulse.heard.insert(peer, facts.now);
            }
        }
        let Some(pulse) = self.leaders.get_mut(&server) else { return };
        if pulse.is_overdue(facts, server) {
            pulse.warned_at.get_or_insert(facts.now);
        } else {
            pulse.warned_at = None;
        }
    }

    fn on_action(
        &mut self,
        facts: &Facts,
        server: ServerId,
        action: &Action,
    ) -> Result<(), Violation> {
        match action {
            // A follower's, which serves observers.
            Action::Send { link, .. } if facts.is_of_master(server, *link) => {}
            Action::Send { message: PeerMessage::Quorum(packet), .. } => match packet {
                QuorumPacket::LeaderInfo { .. } => {
                    self.leaders.entry(server).or_default();
                }
                QuorumPacket::FollowerInfo { .. } | QuorumPacket::ObserverInfo { .. } => {
                    self.leaders.remove(&server);
                }
                QuorumPacket::UpToDate => return self.on_established(facts, server),
                QuorumPacket::Commit { .. } | QuorumPacket::CommitAndActivate { .. } => {
                    return self.steps_down(facts, server, "commits");
                }
                _ => {}
            },
            Action::Send { message: PeerMessage::Election(_), .. }
                if facts.server(server).leads.is_none() =>
            {
                self.leaders.remove(&server);
            }
            // Not as a leader.
            Action::Reply { conn, .. } if facts.is_read_only(server, *conn) => {}
            Action::Reply { message, .. } => {
                self.steps_down(facts, server, "answers clients")?;
                if facts.is_alone() && !matches!(message, ClientMessage::Text(_)) {
                    self.established = Some((0, server));
                }
                if let ClientMessage::Connected(granted) = message {
                    self.heard.insert(granted.session.0, facts.now);
                }
            }
            _ => {}
        }
        let expiry = facts.news.proposed.iter().find(|proposed| {
            let closes = matches!(proposed.txn.body, TxnBody::CloseSession { .. });
            closes && proposed.txn.header.cxid.0 == 0
        });
        ensure(expiry.is_none() || !facts.info.calm, "L-CALM", || {
            let session = expiry.map(|proposed| proposed.txn.header.session);
            format!("{server:?} expires {session:?} though nothing went wrong")
        })
    }

    fn on_established(&mut self, facts: &Facts, server: ServerId) -> Result<(), Violation> {
        let Some(epoch) = facts.server(server).leads else { return Ok(()) };
        if self.established.is_some_and(|(newest, _)| newest >= epoch) {
            return Ok(());
        }
        let first = self.established.is_none();
        self.established = Some((epoch, server));
        self.disturbed = facts.now;
        let pulse = self.leaders.entry(server).or_default();
        pulse.established_at = facts.now;
        ensure(first || !facts.info.calm, "L-CALM", || {
            format!("{server:?} is elected for epoch {epoch} though nothing went wrong")
        })?;
        ensure(!self.settled, "L-LEAD", || {
            format!("{server:?} is elected for epoch {epoch} long after the last fault")
        })
    }

    fn steps_down(&self, facts: &Facts, server: ServerId, does: &str) -> Result<(), Violation> {
        let Some(pulse) = self.leaders.get(&server) else { return Ok(()) };
        ensure(pulse.warned_at.is_none_or(|at| at >= facts.now), "L-STEP", || {
            let heard: Vec<_> = pulse.heard.iter().map(|(id, at)| (id.0, at / 1_000_000)).collect();
            format!("{server:?} {does}, it heard from (id, ms) {heard:?}")
        })
    }
}

impl Pulse {
    /// Is it more than syncLimit and a tick since a quorum was heard from?
    fn is_overdue(&mut self, facts: &Facts, server: ServerId) -> bool {
        if self.established_at == 0 || facts.now <= self.good_until || facts.is_alone() {
            return false;
        }
        // One tick to notice, one because deadlines are looked at once a tick, and drift.
        let limit = facts.tick() * (u64::from(facts.info.sync_limit) + 2);
        let limit = limit + limit * facts.info.drift_ppm / 500_000;
        let heard_at = |voter: ServerId| match self.heard.get(&voter) {
            _ if voter == server => facts.now,
            Some(at) => *at,
            None => 0,
        };
        // The newest moment since which a quorum has been heard from.
        let since = |groups: &Groups| {
            let moments = groups.iter().flat_map(|group| group.keys()).map(|id| heard_at(*id));
            let reached = |at: &SimTime| is_quorum(groups, |voter| heard_at(voter) >= *at);
            moments.filter(reached).max().unwrap_or(0)
        };
        let quorum_at = facts.in_force_at(server).into_iter().map(since).min().unwrap_or(0);
        let quorum_at = quorum_at.max(self.established_at);
        self.good_until = quorum_at + limit;
        facts.now > self.good_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testkit::{
        Bench, MS, ONE, SESSION, THREE, TWO, change, dynamic, entry, info, z,
    };
    use zebu_core::client::Outcome;
    use zebu_core::ids::{ConnId, Epoch, SessionId, Zxid};
    use zebu_core::proto::{ConnectResponse, Request, Response};
    use zebu_core::tree::Database;

    fn bench() -> Bench {
        bench_of(|_| {})
    }
    fn bench_of(change: impl FnOnce(&mut crate::scenario::ScenarioInfo)) -> Bench {
        let mut info = info(3);
        change(&mut info);
        Bench::with(info, vec![Box::new(Liveness::default())])
    }
    fn join(bench: &mut Bench, server: ServerId, epoch: u32) {
        let offer = QuorumPacket::LeaderInfo { epoch: Epoch(epoch), protocol_version: 0 };
        bench.told(server, ONE, offer).unwrap();
        bench.told(server, ONE, QuorumPacket::UpToDate).unwrap();
    }
    fn settled(bench: &mut Bench) -> Result<(), Violation> {
        bench.see(&Observation::LivenessPhase)?;
        bench.now += 10_001 * MS;
        bench.event(ONE, &Event::Wake)
    }
    fn broken(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().property
    }

    #[test]
    fn everybody_joins_one_leader_that_stays() {
        assert_eq!(broken(settled(&mut bench())), "L-LEAD");
        let mut bench = self::bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        join(&mut bench, TWO, 1);
        assert_eq!(broken(settled(&mut bench)), "L-JOIN");
        let mut bench = self::bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        join(&mut bench, TWO, 1);
        join(&mut bench, THREE, 1);
        settled(&mut bench).unwrap();
        bench.lead(TWO, 2);
        assert_eq!(broken(bench.send(TWO, ONE, QuorumPacket::UpToDate)), "L-LEAD");
    }

    #[test]
    fn replicas_become_equal_and_sessions_end() {
        let mut bench = bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        join(&mut bench, TWO, 1);
        join(&mut bench, THREE, 1);
        bench.commit(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 }).unwrap();
        settled(&mut bench).unwrap();
        let state = |zxid| Some(Database { last_processed: Zxid(zxid), ..Database::default() });
        bench.databases = vec![state(z(1, 1)), state(z(1, 1)), state(z(1, 0))];
        assert_eq!(broken(bench.finish()), "L-EQ");
        bench.databases[2] = state(z(1, 1));
        assert_eq!(broken(bench.finish()), "L-EXP");
        bench.connect(0, ONE, SESSION);
        bench.ask(0, -2, Request::Ping);
        bench.finish().unwrap();
        bench.now += 5000 * MS;
        assert_eq!(broken(bench.finish()), "L-EXP");
        // The client may be gone when it is told.
        let granted = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 4000,
            session: SessionId(SESSION),
            password: [0; 16],
            read_only: None,
        };
        let (conn, message) = (ConnId(9), ClientMessage::Connected(granted));
        bench.action(TWO, &Action::Reply { conn, message }).unwrap();
        bench.finish().unwrap();
    }

    #[test]
    fn a_session_that_nobody_is_told_of_lives_as_long_as_any() {
        let mut bench = bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        join(&mut bench, TWO, 1);
        join(&mut bench, THREE, 1);
        bench.see(&Observation::LivenessPhase).unwrap();
        for _ in 0..9 {
            bench.now += 1000 * MS;
            let heard = QuorumPacket::PingReply { zxid: Zxid(0), touched: vec![] };
            bench.told(ONE, TWO, heard).unwrap();
        }
        bench.commit(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 400 }).unwrap();
        let state = Some(Database { last_processed: Zxid(z(1, 1)), ..Database::default() });
        bench.databases = vec![state.clone(), state.clone(), state];
        bench.finish().unwrap();
        bench.now += 9000 * MS;
        assert_eq!(broken(bench.finish()), "L-EXP");
    }

    #[test]
    fn calls_end() {
        let mut bench = bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        join(&mut bench, TWO, 1);
        join(&mut bench, THREE, 1);
        let request = Request::Ping;
        bench.call(0, 1, &request).unwrap();
        bench.call(0, 2, &request).unwrap();
        bench.see(&Observation::LivenessPhase).unwrap();
        let outcome = Outcome::Replied { zxid: 0, result: Ok(Response::Empty) };
        let done = |call| Observation::Completed {
            client: ClientId(0),
            call: CallId(call),
            outcome: &outcome,
        };
        bench.see(&done(1)).unwrap();
        bench.now += 11_000 * MS;
        assert_eq!(broken(bench.see(&done(2))), "L-CLI");
    }

    #[test]
    fn a_leader_without_a_quorum_steps_down() {
        let mut bench = bench();
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        let ping = || QuorumPacket::PingReply { zxid: Zxid(0), touched: vec![] };
        bench.now += 1300 * MS;
        bench.told(ONE, TWO, ping()).unwrap();
        bench.now += 1300 * MS;
        bench.event(ONE, &Event::Wake).unwrap();
        bench.reply(ONE, 1, z(1, 0), Ok(Response::Empty)).unwrap();
        bench.now += 200 * MS;
        bench.event(ONE, &Event::Wake).unwrap();
        bench.now += MS;
        assert_eq!(broken(bench.reply(ONE, 1, z(1, 0), Ok(Response::Empty))), "L-STEP");
        bench.told(ONE, TWO, ping()).unwrap();
        bench.reply(ONE, 1, z(1, 0), Ok(Response::Empty)).unwrap();
    }

    /// A quorum of those who are there follows it, none of those who are proposed does.
    #[test]
    fn a_leader_without_a_quorum_of_what_it_proposes_steps_down() {
        for (proposed, stays) in [(&[1, 2, 3], true), (&[1, 4, 5], false)] {
            let mut bench = Bench::with(dynamic(3, 5), vec![Box::new(Liveness::default())]);
            bench.lead(ONE, 1);
            bench.establish(ONE, TWO, 1);
            let body = change(proposed, z(1, 1));
            let entry = entry(crate::model::tests::txn(z(1, 1), SESSION, 0, body));
            bench.send(ONE, TWO, QuorumPacket::Proposal(entry)).unwrap();
            bench.log(ONE, &[z(1, 1)]).unwrap();
            for _ in 0..15 {
                bench.now += 100 * MS;
                let ping = QuorumPacket::PingReply { zxid: Zxid(0), touched: vec![] };
                bench.told(ONE, TWO, ping).unwrap();
            }
            let answer = bench.reply(ONE, 1, z(1, 0), Ok(Response::Empty));
            assert_eq!(
                answer.map_err(|broken| broken.property),
                if stays { Ok(()) } else { Err("L-STEP") }
            );
        }
    }

    #[test]
    fn calm_and_boot() {
        let mut bench = bench_of(|info| info.calm = true);
        bench.lead(ONE, 1);
        bench.establish(ONE, TWO, 1);
        bench.commit(z(1, 1), SESSION, 0, TxnBody::CreateSession { timeout_ms: 4000 }).unwrap();
        let close = TxnBody::CloseSession { paths: Some(vec![]) };
        assert_eq!(broken(bench.commit(z(1, 2), SESSION, 0, close)), "L-CALM");
        bench.lead(TWO, 2);
        assert_eq!(broken(bench.send(TWO, ONE, QuorumPacket::UpToDate)), "L-CALM");
        let why = "a bad record";
        assert_eq!(broken(bench.see(&Observation::NotStarted { server: ONE, why })), "L-BOOT");
    }
}
