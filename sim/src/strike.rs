//! How each kind of fault is done to the world, and undone.

use std::sync::Arc;

use crate::agenda::What;
use crate::audience::Audience;
use crate::counters::Counter;
use crate::decide::{About, Draw};
use crate::faults::{Fault, FaultClass, Occasion, Slowness, Target, UPON, duration};
use crate::history::{Observation, StopReason};
use crate::net::Host;
use crate::world::World;

/// A wall clock may be wrong by years.
const WALL_JUMP_MS_MAX: u64 = 2 * 365 * 86_400_000;

impl World {
    pub(crate) fn strike(&mut self, index: u32, aud: &mut Audience) {
        if !self.faults_on() {
            return;
        }
        let planned = self.plan.faults.len();
        let fault = match self.plan.faults.get(index as usize) {
            Some(fault) => fault.clone(),
            None => self.upon[index as usize - planned].clone(),
        };
        let mut draw = self.decide.draw(About::FaultShape, fault.class as u64, fault.n);
        let draw = &mut draw;
        let s = self.aim(fault.who, draw);
        let until = self.now + fault.for_ns;
        aud.counters.fault(fault.class);
        match fault.class {
            FaultClass::PowerLoss => {
                self.stop_for(s, StopReason::PowerLoss, Some(fault.for_ns), aud);
            }
            FaultClass::Kill => self.stop_for(s, StopReason::Kill, Some(fault.for_ns), aud),
            FaultClass::ClusterPowerLoss => {
                for s in 0..self.nodes.len() {
                    let downtime = draw.below(fault.for_ns.max(1));
                    self.stop_for(s, StopReason::PowerLoss, Some(downtime), aud);
                }
            }
            FaultClass::RottenSnapshot => self.rot_snapshot(s, fault.for_ns, draw, aud),
            FaultClass::Wipe => self.wipe(s, fault.for_ns, aud),
            FaultClass::Pause => self.pause(s, until),
            FaultClass::Partition => {
                let cuts = self.partition(s, draw);
                self.cut(index, cuts, aud);
            }
            FaultClass::OneWay => {
                let cuts = self.one_way(s, draw);
                self.cut(index, cuts, aud);
            }
            FaultClass::Stall => {
                if let Some(&key) = draw.pick(self.net.live()) {
                    self.net.stall(key, until);
                }
            }
            FaultClass::Break => {
                if let Some(&key) = draw.pick(self.net.live()) {
                    self.net.sever(self.now, key, &mut self.agenda);
                }
            }
            FaultClass::SlowLink => {
                let slow = Slowness { factor: draw.magnitude(4, 200), until };
                for (from, to) in self.links_of(s, draw) {
                    self.net.set_slow(from, to, slow);
                }
            }
            FaultClass::SlowDisk => {
                let slow = Slowness { factor: draw.magnitude(5, 300), until };
                self.nodes[s].trouble.slow = slow;
            }
            FaultClass::SyncError => self.nodes[s].trouble.fail_sync = true,
            FaultClass::WriteError => self.nodes[s].trouble.fail_next = true,
            FaultClass::DiskFull => self.nodes[s].trouble.full_until = until,
            FaultClass::ClockJump => {
                let ms = draw.magnitude(1, WALL_JUMP_MS_MAX) as i64;
                self.nodes[s].clock.jump_wall(if draw.one_in(2) { ms } else { -ms });
            }
            FaultClass::ClockDrift => {
                let bound = self.scenario.file.machine.drift_ppm;
                let ppm = draw.between(0, 2 * bound) as i64 - bound as i64;
                self.nodes[s].clock.set_drift(self.now, ppm);
                self.rearm_timer(s);
            }
            FaultClass::ClientPause => {
                if !self.seats.is_empty() {
                    let seat = draw.index(self.seats.len());
                    self.pause(self.nodes.len() + seat, until);
                }
            }
            FaultClass::ClientCrash => {
                if !self.seats.is_empty() {
                    let seat = draw.index(self.seats.len());
                    self.abandon_client(seat, fault.for_ns, aud);
                }
            }
        }
        self.agenda.push(until, What::FaultOver { index });
    }

    /// A reconfiguration got a step further at `s`: faults may come upon that, there or elsewhere.
    pub(crate) fn upon_reconfiguration(&mut self, s: usize, proposed: bool, aud: &mut Audience) {
        let now = if proposed { Occasion::Proposed } else { Occasion::Activated };
        let scenario = Arc::clone(&self.scenario);
        for (index, upon) in scenario.file.upon.iter().enumerate() {
            if upon.occasion != now || !self.faults_on() {
                continue;
            }
            // By what it is about: the how-manieth step at this server.
            let steps = &mut self.nodes[s].steps;
            *steps += 1;
            let n = UPON | (index as u64) << 24 | (s as u64) << 16 | *steps;
            let mut draw = self.decide.draw(About::Upon, s as u64, n);
            if !draw.chance(upon.p) {
                continue;
            }
            let at = self.now + upon.after_us.draw(&mut draw) * 1000;
            let drawn = duration(upon.what, n, self.tick_ns(), self.decide);
            let for_ns = upon.for_ms.map_or(drawn, |ms| ms.draw(&mut draw) * 1_000_000);
            let who = upon.who.unwrap_or(Target::Server(s + 1));
            let fault = Fault { class: upon.what, n, at, who, for_ns };
            if !self.skip.contains(&fault.name()) {
                let index = (self.plan.faults.len() + self.upon.len()) as u32;
                self.upon.push(fault);
                aud.counters.add(Counter::UponReconfiguration, 1);
                self.agenda.push(at, What::Fault { index });
            }
        }
    }

    pub(crate) fn strike_over(&mut self, index: u32, aud: &mut Audience) {
        if let Some(cuts) = self.cuts.remove(&index) {
            for &(from, to) in &cuts {
                self.net.heal(self.now, from, to, &mut self.agenda);
            }
            self.tell_links(&cuts, true, aud);
        }
    }

    fn aim(&self, who: Target, draw: &mut Draw) -> usize {
        let servers = self.nodes.len();
        let any = draw.index(servers);
        let favour_leader = draw.one_in(3);
        match (who, self.leader) {
            (Target::Server(number), _) => number.saturating_sub(1).min(servers - 1),
            (Target::Leader, Some(leader)) => leader,
            (Target::Follower, Some(leader)) if any == leader => (any + 1) % servers,
            (Target::Observer, _) => {
                let voters = self.scenario.file.ensemble.servers;
                if servers == voters { any } else { voters + any % (servers - voters) }
            }
            (Target::Any, Some(leader)) if favour_leader => leader,
            _ => any,
        }
    }

    /// Two sides that cannot talk: one server alone, or any split. Each client is with one side, or
    /// clients reach everybody.
    fn partition(&self, s: usize, draw: &mut Draw) -> Vec<(Host, Host)> {
        let servers = self.nodes.len();
        let alone = draw.one_in(2);
        let clients_split = !draw.one_in(3);
        let hosts = servers + self.seats.len();
        let side: Vec<Option<bool>> = (0..hosts)
            .map(|host| {
                let coin = draw.one_in(2);
                match host {
                    host if host >= servers => clients_split.then_some(coin),
                    host if alone || host == s => Some(host == s),
                    _ => Some(coin),
                }
            })
            .collect();
        let pairs = (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        pairs
            .filter(|&(from, to)| match (side[from], side[to]) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            })
            .collect()
    }

    /// One direction between two servers, or everything out of one, or everything into it.
    fn one_way(&self, s: usize, draw: &mut Draw) -> Vec<(Host, Host)> {
        let others: Vec<Host> = (0..self.nodes.len()).filter(|o| *o != s).collect();
        let Some(&other) = draw.pick(&others) else { return Vec::new() };
        match draw.below(4) {
            0 => vec![(s, other)],
            1 => vec![(other, s)],
            2 => others.iter().map(|&o| (s, o)).collect(),
            _ => others.iter().map(|&o| (o, s)).collect(),
        }
    }

    fn links_of(&self, s: usize, draw: &mut Draw) -> Vec<(Host, Host)> {
        let others: Vec<Host> = (0..self.nodes.len()).filter(|o| *o != s).collect();
        let Some(&other) = draw.pick(&others) else { return Vec::new() };
        if draw.one_in(2) {
            return vec![(s, other), (other, s)];
        }
        others.iter().flat_map(|&o| [(s, o), (o, s)]).collect()
    }

    fn cut(&mut self, index: u32, cuts: Vec<(Host, Host)>, aud: &mut Audience) {
        for &(from, to) in &cuts {
            self.net.cut(from, to);
        }
        self.tell_links(&cuts, false, aud);
        self.cuts.insert(index, cuts);
    }

    /// What happened to links between servers.
    pub(crate) fn tell_links(&mut self, links: &[(Host, Host)], open: bool, aud: &mut Audience) {
        for &(from, to) in links {
            if let (Some(a), Some(b)) = (self.nodes.get(from), self.nodes.get(to)) {
                let what = Observation::Link { from: a.id, to: b.id, open };
                aud.observe(self.now, &self.nodes, &what);
            }
        }
    }
}
