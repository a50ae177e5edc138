//! `dump`: sessions, their ephemerals, connections, and when each expires.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::time::{Duration, Instant, Now};

use super::super::Server;
use super::clients::address;

// ZK: DumpCommand (3.9)
pub(super) fn dump(server: &Server, out: &mut String) {
    out.push_str("SessionTracker dump:\n");
    sessions(server, out);
    out.push_str("ephemeral nodes dump:\n");
    ephemerals(server, out);
    out.push_str("Connections dump:\nConnections ");
    let conns = server.order.conns().map(|conn| {
        let timeout = conn.timeout_ms().map_or(server.machine.handshake_timeout, |ms| {
            Duration::from_millis(ms.max(0).unsigned_abs().into())
        });
        let session = conn.session().map_or(0, |session| session.0);
        let line = format!("ip: {} sessionId: 0x{session:x}", address(conn));
        (conn.stats.heard + timeout, line)
    });
    // ZK: NIOServerCnxnFactory rounds to its timeout of connections without a session (3.9)
    let step = server.machine.handshake_timeout.as_nanos().max(1) as u64;
    let rounded = conns.map(|(at, line)| (Instant((at.0 / step + 1).saturating_mul(step)), line));
    expiry(rounded, server.cx.now, out);
}

/// The leader knows when a session expires, a follower only that there is one.
// ZK: SessionTrackerImpl.dumpSessions, LearnerSessionTracker.dumpSessions,
// LeaderSessionTracker.dumpSessions (3.9)
fn sessions(server: &Server, out: &mut String) {
    let with_local = server.cx.config.local_sessions.enabled || server.cx.read_only.is_on();
    if with_local {
        out.push_str("Local Session ");
        let lines = server.order.local_sessions().map(|(s, at)| (at, format!("0x{:x}", s.0)));
        expiry(lines, server.cx.now, out);
    }
    if let Some(deadlines) = server.session_deadlines() {
        out.push_str(if with_local { "Global Session " } else { "Session " });
        let lines = deadlines.map(|(session, at)| (at, format!("0x{:x}", session.0)));
        return expiry(lines, server.cx.now, out);
    }
    let sessions = &server.cx.database.sessions;
    let _ = writeln!(out, "Global Sessions({}):", sessions.len());
    for (session, timeout) in sessions {
        let _ = writeln!(out, "0x{:x}\t{timeout}ms", session.0);
    }
}

// ZK: DataTree.dumpEphemerals (3.9)
fn ephemerals(server: &Server, out: &mut String) {
    let tree = &server.cx.database.tree;
    let count = tree.sessions_with_ephemerals().count();
    let _ = writeln!(out, "Sessions with Ephemerals ({count}):");
    for session in tree.sessions_with_ephemerals() {
        let _ = writeln!(out, "0x{:x}:", session.0);
        for path in tree.ephemerals(session) {
            let _ = writeln!(out, "\t{path}");
        }
    }
}

// ZK: ExpiryQueue.dump (3.9)
fn expiry(lines: impl Iterator<Item = (Instant, String)>, now: Now, out: &mut String) {
    let mut sets: BTreeMap<Instant, Vec<String>> = BTreeMap::new();
    for (at, line) in lines {
        sets.entry(at).or_default().push(line);
    }
    let total: usize = sets.values().map(Vec::len).sum();
    let _ = writeln!(out, "Sets ({})/({total}):", sets.len());
    for (at, lines) in sets {
        let ahead = at.as_millis() as i64 - now.mono.as_millis() as i64;
        let date = Date { unix_seconds: (now.wall.0 + ahead).div_euclid(1000) };
        let _ = writeln!(out, "{} expire at {date}:", lines.len());
        for line in lines {
            let _ = writeln!(out, "\t{line}");
        }
    }
}

/// As Java prints a date: `Tue Nov 14 22:13:20 UTC 2023`.
struct Date {
    unix_seconds: i64,
}

impl core::fmt::Display for Date {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, second) =
            (self.unix_seconds.div_euclid(86_400), self.unix_seconds.rem_euclid(86_400));
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let (mut year, mut left) = (1970, days);
        while left < 0 || left >= days_of(year) {
            if left < 0 {
                year -= 1;
                left += days_of(year);
            } else {
                left -= days_of(year);
                year += 1;
            }
        }
        let mut month = 0;
        while left >= days_of_month(year, month) {
            left -= days_of_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (month, day) = (MONTHS[month], left + 1);
        write!(f, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64) -> i64 {
    365 + i64::from(is_leap(year))
}

fn days_of_month(year: i64, month: usize) -> i64 {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    DAYS[month] + i64::from(month == 1 && is_leap(year))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;
    use alloc::string::ToString;

    #[test]
    fn dates_are_javas() {
        for (unix_seconds, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_700_000_000, "Tue Nov 14 22:13:20 UTC 2023"),
            (4_107_542_399, "Sun Feb 28 23:59:59 UTC 2100"),
            (4_107_542_400, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(Date { unix_seconds }.to_string(), expected);
        }
    }

    #[test]
    fn sets_are_in_the_order_of_their_time() {
        let now = Now { mono: Instant::from_millis(5000), wall: WallTime(1_700_000_000_000) };
        let at = Instant::from_millis;
        let lines = [(at(16_000), "b"), (at(6000), "a"), (at(16_000), "c")];
        let mut out = String::new();
        expiry(lines.map(|(at, line)| (at, line.to_string())).into_iter(), now, &mut out);
        assert_eq!(
            out,
            "Sets (2)/(3):\n1 expire at Tue Nov 14 22:13:21 UTC 2023:\n\ta\n\
             2 expire at Tue Nov 14 22:13:31 UTC 2023:\n\tb\n\tc\n"
        );
    }
}
