//! The network: connections that keep their order and lose nothing until they break, over links that
//! are slow, cut in one direction or both, and heal.
//!
//! As TCP: what is sent waits while its direction is cut; a connection that breaks has delivered a
//! prefix of what was sent; whoever is cut off learns nothing until the link heals or it gives up.

use std::collections::VecDeque;

use zebu_core::ids::ServerId;
use zebu_core::proto::{ClientMessage, ClientRequest};
use zebu_core::server::{PeerMessage, Port};

use crate::agenda::{Agenda, What};
use crate::decide::{About, Decide};
use crate::faults::Slowness;
use crate::history::SimTime;
use crate::wire::Wire;

/// A machine: servers first, then one for each client.
pub type Host = usize;

/// A connection of the run. Its number is also the `LinkId` or `ConnId` that servers see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnKey(pub u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];
    pub fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    Client,
    Peer(Port),
}

/// One thing under way over a connection.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// To the dialler: the connection stands.
    Established,
    /// First on an election connection: who dialled.
    Hello(ServerId),
    Peer(PeerMessage),
    Request(ClientRequest),
    Reply(ClientMessage),
    /// Any of these as bytes (codec runs).
    Bytes(Vec<u8>),
    /// Nothing more will come.
    Closed,
}

#[derive(Clone, Debug)]
struct Pipe {
    queue: VecDeque<(SimTime, Parcel)>,
    last_due: SimTime,
    /// A `Deliver` for this pipe is on the agenda.
    armed: bool,
    /// Nothing more can be sent.
    sealed: bool,
    frozen_until: SimTime,
    /// Messages cut into pieces so far.
    encoded: u64,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub service: Service,
    pub hosts: [Host; 2],
    open: [bool; 2],
    /// By receiving side.
    pipes: [Pipe; 2],
    wire: Option<Box<Wire>>,
}

#[derive(Clone, Debug)]
struct Link {
    /// How many partitions cut this direction.
    cut: u32,
    slow: Slowness,
    latency: u64,
    sent: u64,
}

#[derive(Clone, Debug)]
pub struct Net {
    decide: Decide,
    hosts: usize,
    links: Vec<Link>,
    conns: Vec<Option<Box<Connection>>>,
    /// Those of `conns` that are not over, oldest first.
    live: Vec<ConnKey>,
    codec: bool,
    pub messages: u64,
}

impl Net {
    pub fn new(decide: Decide, hosts: usize, mean_latency: u64, codec: bool) -> Self {
        let links = (0..hosts * hosts).map(|link| {
            let mut draw = decide.draw(About::Latency, link as u64, 0);
            let latency = mean_latency / 4 + draw.around(mean_latency);
            Link { cut: 0, slow: Slowness::default(), latency, sent: 0 }
        });
        let links = links.collect();
        Self { decide, hosts, links, conns: Vec::new(), live: Vec::new(), codec, messages: 0 }
    }

    fn link(&mut self, from: Host, to: Host) -> &mut Link {
        &mut self.links[from * self.hosts + to]
    }
    pub fn is_cut(&self, from: Host, to: Host) -> bool {
        self.links[from * self.hosts + to].cut > 0
    }
    /// How long the next message between these two takes.
    pub fn delay(&mut self, now: SimTime, from: Host, to: Host) -> u64 {
        let (decide, key) = (self.decide, (from * self.hosts + to) as u64);
        let link = self.link(from, to);
        link.sent += 1;
        let mut draw = decide.draw(About::Latency, key, link.sent);
        link.slow.stretch(now, link.latency / 2 + draw.around(link.latency / 2 + 1))
    }

    /// A connection that the acceptor just took; the dialler will hear of it.
    pub fn connect(
        &mut self,
        now: SimTime,
        service: Service,
        hosts: [Host; 2],
        wire: Option<Wire>,
        agenda: &mut Agenda,
    ) -> ConnKey {
        let key = ConnKey(self.conns.len() as u32);
        let pipe = || Pipe {
            queue: VecDeque::new(),
            last_due: now,
            armed: false,
            sealed: false,
            frozen_until: 0,
            encoded: 0,
        };
        let (open, pipes) = ([true; 2], [pipe(), pipe()]);
        let wire = wire.map(Box::new);
        self.conns.push(Some(Box::new(Connection { service, hosts, open, pipes, wire })));
        self.live.push(key);
        self.put(now, key, Side::Dialler, Parcel::Established, agenda);
        key
    }

    pub fn get(&self, key: ConnKey) -> Option<&Connection> {
        self.conns.get(key.0 as usize)?.as_deref()
    }
    fn get_mut(&mut self, key: ConnKey) -> Option<&mut Connection> {
        self.conns.get_mut(key.0 as usize)?.as_deref_mut()
    }
    pub fn codec(&self) -> bool {
        self.codec
    }

    /// `host`, which has an end of this connection, sends.
    pub fn send(
        &mut self,
        now: SimTime,
        key: ConnKey,
        host: Host,
        parcel: Parcel,
        agenda: &mut Agenda,
    ) {
        let decide = self.decide;
        let Some(conn) = self.get_mut(key) else { return };
        let Some(from) = conn.side_of(host) else { return };
        let to = from.other();
        if !conn.open[from as usize] || conn.pipes[to as usize].sealed {
            return;
        }
        let Some(wire) = &mut conn.wire else {
            return self.put(now, key, to, parcel, agenda);
        };
        let bytes = wire.encode(from, parcel);
        // The stream is cut where it likes, never where messages end.
        let pipe = &mut conn.pipes[to as usize];
        pipe.encoded += 1;
        let stream = u64::from(key.0) * 2 + to as u64;
        let mut draw = decide.draw(About::Fragment, stream, pipe.encoded);
        let cut = if draw.one_in(2) { draw.index(bytes.len() + 1) } else { bytes.len() };
        for part in [&bytes[..cut], &bytes[cut..]] {
            if !part.is_empty() {
                self.put(now, key, to, Parcel::Bytes(part.to_vec()), agenda);
            }
        }
    }

    fn put(&mut self, now: SimTime, key: ConnKey, to: Side, parcel: Parcel, agenda: &mut Agenda) {
        let Some(conn) = self.get_mut(key) else { return };
        let (source, target) = (conn.hosts[to.other() as usize], conn.hosts[to as usize]);
        let delay = self.delay(now, source, target);
        self.messages += 1;
        let pipe = &mut self.get_mut(key).expect("looked up above").pipes[to as usize];
        let due = (now + delay).max(pipe.last_due);
        pipe.last_due = due;
        pipe.queue.push_back((due, parcel));
        if !pipe.armed {
            pipe.armed = true;
            agenda.push(due, What::Deliver { conn: key, to });
        }
    }

    /// A `Deliver` came up: what arrived, if anything did.
    pub fn arrive(
        &mut self,
        now: SimTime,
        key: ConnKey,
        to: Side,
        agenda: &mut Agenda,
    ) -> Option<Parcel> {
        let conn = self.get(key)?;
        let cut = self.is_cut(conn.hosts[to.other() as usize], conn.hosts[to as usize]);
        let conn = self.get_mut(key)?;
        let pipe = &mut conn.pipes[to as usize];
        pipe.armed = false;
        if !conn.open[to as usize] {
            pipe.queue.clear();
            return None;
        }
        let (due, _) = pipe.queue.front()?;
        let due = (*due).max(pipe.frozen_until);
        if cut {
            return None;
        }
        if due > now {
            pipe.armed = true;
            agenda.push(due, What::Deliver { conn: key, to });
            return None;
        }
        let (_, parcel) = pipe.queue.pop_front()?;
        if let Some((due, _)) = pipe.queue.front() {
            pipe.armed = true;
            agenda.push((*due).max(now), What::Deliver { conn: key, to });
        }
        if let Parcel::Closed = parcel {
            self.end(key, to);
        }
        Some(parcel)
    }

    /// What these bytes complete, in order.
    pub fn decode(&mut self, key: ConnKey, to: Side, bytes: &[u8]) -> Result<Vec<Parcel>, String> {
        match self.get_mut(key).and_then(|conn| conn.wire.as_deref_mut()) {
            Some(wire) => wire.decode(to, bytes),
            None => Ok(Vec::new()),
        }
    }

    /// `host` closes its end, behind what it sent.
    pub fn close(&mut self, now: SimTime, key: ConnKey, host: Host, agenda: &mut Agenda) {
        let Some(side) = self.get(key).and_then(|conn| conn.side_of(host)) else { return };
        if !self.end(key, side) {
            return;
        }
        self.finish(now, key, side.other(), agenda);
    }

    /// Every connection of `host` ends where it is: the peers get a part of what was sent, and learn
    /// of the end after `notice`.
    pub fn cut_off(&mut self, now: SimTime, host: Host, notice: u64, agenda: &mut Agenda) {
        for key in self.live.clone() {
            let Some(side) = self.get(key).and_then(|conn| conn.side_of(host)) else { continue };
            if !self.end(key, side) {
                continue;
            }
            self.lose_tail(key, side.other());
            self.finish(now + notice, key, side.other(), agenda);
        }
    }

    /// A connection breaks under both of its ends.
    pub fn sever(&mut self, now: SimTime, key: ConnKey, agenda: &mut Agenda) {
        for side in Side::BOTH {
            self.lose_tail(key, side);
            self.finish(now, key, side, agenda);
        }
    }

    /// Nothing comes through until then, either way.
    pub fn stall(&mut self, key: ConnKey, until: SimTime) {
        if let Some(conn) = self.get_mut(key) {
            for pipe in &mut conn.pipes {
                pipe.frozen_until = pipe.frozen_until.max(until);
            }
        }
    }

    pub fn cut(&mut self, from: Host, to: Host) {
        self.link(from, to).cut += 1;
    }
    /// One partition less; what waited is on its way again.
    pub fn heal(&mut self, now: SimTime, from: Host, to: Host, agenda: &mut Agenda) {
        let link = self.link(from, to);
        link.cut = link.cut.saturating_sub(1);
        if link.cut == 0 {
            self.rearm(
                now,
                |conn, side| {
                    conn.hosts[side as usize] == to && conn.hosts[side.other() as usize] == from
                },
                agenda,
            );
        }
    }
    pub fn set_slow(&mut self, from: Host, to: Host, slow: Slowness) {
        self.link(from, to).slow = slow;
    }
    /// Nothing is cut, slow or stalled any more.
    pub fn heal_all(&mut self, now: SimTime, agenda: &mut Agenda) {
        for link in &mut self.links {
            (link.cut, link.slow) = (0, Slowness::default());
        }
        for conn in self.conns.iter_mut().flatten() {
            for pipe in &mut conn.pipes {
                pipe.frozen_until = 0;
            }
        }
        self.rearm(now, |_, _| true, agenda);
    }

    fn rearm(
        &mut self,
        now: SimTime,
        which: impl Fn(&Connection, Side) -> bool,
        agenda: &mut Agenda,
    ) {
        for &key in &self.live {
            let Some(conn) = self.conns[key.0 as usize].as_deref_mut() else { continue };
            for side in Side::BOTH {
                if !which(conn, side) {
                    continue;
                }
                let pipe = &mut conn.pipes[side as usize];
                if let (false, Some((due, _))) = (pipe.armed, pipe.queue.front()) {
                    pipe.armed = true;
                    agenda.push((*due).max(now), What::Deliver { conn: key, to: side });
                }
            }
        }
    }

    /// Connections not over, oldest first.
    pub fn live(&self) -> &[ConnKey] {
        &self.live
    }

    /// This side is done with the connection; false when it was already.
    fn end(&mut self, key: ConnKey, side: Side) -> bool {
        let Some(conn) = self.get_mut(key) else { return false };
        if !std::mem::replace(&mut conn.open[side as usize], false) {
            return false;
        }
        conn.pipes[side as usize].queue.clear();
        if !conn.open[side.other() as usize] {
            self.conns[key.0 as usize] = None;
            self.live.retain(|k| *k != key);
        }
        true
    }

    /// The last thing that `to` will hear.
    fn finish(&mut self, now: SimTime, key: ConnKey, to: Side, agenda: &mut Agenda) {
        let Some(conn) = self.get_mut(key) else { return };
        let pipe = &mut conn.pipes[to as usize];
        if !std::mem::replace(&mut pipe.sealed, true) {
            self.put(now, key, to, Parcel::Closed, agenda);
        }
    }

    /// Of what is under way to `to`, a prefix will arrive.
    fn lose_tail(&mut self, key: ConnKey, to: Side) {
        let mut draw = self.decide.draw(About::Sever, u64::from(key.0), to as u64);
        let Some(conn) = self.get_mut(key) else { return };
        let pipe = &mut conn.pipes[to as usize];
        if pipe.sealed {
            return;
        }
        // A dialler whose connection was taken always hears of it, and then of its end.
        let least = usize::from(matches!(pipe.queue.front(), Some((_, Parcel::Established))));
        let keep = draw.between(least as u64, pipe.queue.len() as u64) as usize;
        let torn = pipe.queue.drain(keep..).next();
        if let Some((due, Parcel::Bytes(bytes))) = torn {
            let part = bytes[..draw.index(bytes.len())].to_vec();
            if !part.is_empty() {
                pipe.queue.push_back((due, Parcel::Bytes(part)));
            }
        }
    }
}

impl Connection {
    pub fn side_of(&self, host: Host) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.hosts[*side as usize] == host)
    }
    pub fn host(&self, side: Side) -> Host {
        self.hosts[side as usize]
    }
    pub fn is_open(&self, side: Side) -> bool {
        self.open[side as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zebu_core::ids::Epoch;
    use zebu_core::proto::QuorumPacket;

    struct Bench {
        net: Net,
        agenda: Agenda,
        now: SimTime,
    }

    impl Bench {
        fn new(seed: u64) -> (Self, ConnKey) {
            let (mut net, mut agenda) =
                (Net::new(Decide::new(seed), 3, 1000, false), Agenda::default());
            let service = Service::Peer(Port::Quorum);
            let key = net.connect(0, service, [0, 1], None, &mut agenda);
            (Self { net, agenda, now: 0 }, key)
        }
        fn send(&mut self, key: ConnKey, from: Host, n: u32) {
            let packet = QuorumPacket::LeaderInfo { epoch: Epoch(n), protocol_version: 0 };
            let parcel = Parcel::Peer(PeerMessage::Quorum(packet));
            self.net.send(self.now, key, from, parcel, &mut self.agenda);
        }
        /// Everything that arrives from now on, as text.
        fn run(&mut self) -> Vec<String> {
            let mut seen = Vec::new();
            while let Some((at, what)) = self.agenda.pop() {
                self.now = at;
                let What::Deliver { conn, to } = what else { continue };
                match self.net.arrive(at, conn, to, &mut self.agenda) {
                    Some(Parcel::Peer(PeerMessage::Quorum(QuorumPacket::LeaderInfo {
                        epoch,
                        ..
                    }))) => {
                        seen.push(format!("{to:?} {epoch}"));
                    }
                    Some(parcel) => seen.push(format!("{to:?} {parcel:?}")),
                    None => {}
                }
            }
            seen
        }
    }

    #[test]
    fn order_is_kept_and_a_close_comes_last() {
        let (mut bench, key) = Bench::new(1);
        for n in 0..20 {
            bench.send(key, 0, n);
        }
        bench.net.close(0, key, 0, &mut bench.agenda);
        bench.send(key, 0, 99);
        let mut wanted: Vec<String> = (0..20).map(|n| format!("Acceptor {n}")).collect();
        wanted.push("Acceptor Closed".into());
        let seen = bench.run();
        // The dialler closed before it could hear that it was connected.
        assert_eq!(seen, wanted);
        assert!(bench.net.live().is_empty());
    }

    #[test]
    fn a_cut_direction_holds_what_was_sent_until_it_heals() {
        let (mut bench, key) = Bench::new(2);
        bench.run();
        bench.net.cut(0, 1);
        bench.net.cut(0, 1);
        bench.send(key, 0, 1);
        bench.send(key, 1, 2);
        assert_eq!(bench.run(), ["Dialler 2"]);
        bench.net.heal(bench.now, 0, 1, &mut bench.agenda);
        assert_eq!(bench.run(), [""; 0]);
        bench.net.heal(bench.now, 0, 1, &mut bench.agenda);
        assert_eq!(bench.run(), ["Acceptor 1"]);
    }

    #[test]
    fn a_broken_connection_delivered_a_prefix() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let (mut bench, key) = Bench::new(seed);
            for n in 0..5 {
                bench.send(key, 0, n);
            }
            bench.net.sever(0, key, &mut bench.agenda);
            bench.send(key, 0, 77);
            let seen = bench.run();
            let got: Vec<&String> = seen.iter().filter(|s| s.starts_with("Acceptor")).collect();
            let (last, before) = got.split_last().unwrap();
            assert_eq!(*last, "Acceptor Closed");
            for (n, text) in before.iter().enumerate() {
                assert_eq!(**text, format!("Acceptor {n}"));
            }
            lengths.insert(before.len());
            assert_eq!(seen.iter().filter(|s| s.starts_with("Dialler")).count(), 2, "{seen:?}");
            assert!(bench.net.live().is_empty());
        }
        assert_eq!(lengths.len(), 6, "every prefix is tried: {lengths:?}");
    }

    #[test]
    fn a_stalled_connection_goes_on_later() {
        let (mut bench, key) = Bench::new(3);
        bench.run();
        bench.net.stall(key, 1_000_000);
        bench.send(key, 0, 1);
        assert_eq!(bench.run(), ["Acceptor 1"]);
        assert!(bench.now >= 1_000_000);
    }
}
