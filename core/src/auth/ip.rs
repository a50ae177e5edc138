//! Scheme `ip`: addresses, and networks of them, in upstream's spelling.

use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, Ipv6Addr};

/// An address and how many of its bits count.
// ZK: IPAuthenticationProvider (3.9.5; before, no IPv6 address is one)
struct Network {
    address: Address,
    bits: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    /// Not what `core::net` reads: the address may come from Java, and Java's rules decide who gets
    /// in. Numbers may have a sign and leading zeros; no IPv6 address ends in an IPv4 one.
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') { parse_v6(text).map(Self::V6) } else { parse_v4(text).map(Self::V4) }
    }
    fn width(self) -> u32 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }
}

fn parse_v4(text: &str) -> Option<u32> {
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        *byte = parts.next()?.parse::<i32>().ok()?.try_into().ok()?;
    }
    parts.next().is_none().then_some(u32::from_be_bytes(bytes))
}

fn parse_v6(text: &str) -> Option<u128> {
    let groups = |text: &str| -> Option<(u128, u32)> {
        let mut value = 0;
        let mut count = 0;
        for group in text.split(':').filter(|_| !text.is_empty()) {
            if count == 8 || group.len() > 4 {
                return None;
            }
            // Of a negative number, Java keeps the lower half.
            let number = i32::from_str_radix(group, 16).ok()? as u16;
            value = value << 16 | u128::from(number);
            count += 1;
        }
        Some((value, count))
    };
    let Some((before, after)) = text.split_once("::") else {
        return groups(text).filter(|(_, count)| *count == 8).map(|(value, _)| value);
    };
    if after.contains("::") {
        return None;
    }
    let ((before, left), (after, right)) = (groups(before)?, groups(after)?);
    let missing = 8u32.checked_sub(left + right).filter(|missing| *missing > 0)?;
    Some(before.checked_shl(16 * (missing + right)).unwrap_or(0) | after)
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = Address::parse(address)?;
        let bits = match bits {
            Some(bits) => u32::try_from(bits.parse::<i32>().ok()?).ok()?,
            None => address.width(),
        };
        (bits <= address.width()).then_some(Self { address, bits })
    }
    fn contains(&self, address: Address) -> bool {
        let unlike = match (self.address, address) {
            (Address::V4(ours), Address::V4(theirs)) => u128::from(ours ^ theirs),
            (Address::V6(ours), Address::V6(theirs)) => ours ^ theirs,
            (Address::V4(_), Address::V6(_)) | (Address::V6(_), Address::V4(_)) => return false,
        };
        unlike.checked_shr(address.width() - self.bits).unwrap_or(0) == 0
    }
}

pub(super) fn is_valid(id: &str) -> bool {
    Network::parse(id).is_some()
}

/// Is the address in the network?
pub(super) fn matches(address: &str, network: &str) -> bool {
    match (Address::parse(address), Network::parse(network)) {
        (Some(address), Some(network)) => network.contains(address),
        _ => false,
    }
}

/// The id of a connection from `ip`: as Java writes addresses, so that servers of both kinds take
/// one another's for the same. What came in over IPv6 from an IPv4 address is that.
// JDK: Inet6Address.getHostAddress
pub(crate) fn id_of(ip: &str) -> String {
    match ip.parse().map(|ip: IpAddr| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => format!("{ip}"),
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, e, f, g, h] = Ipv6Addr::segments(&ip);
            format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
        }
        Err(_) => ip.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids() {
        for (id, valid) in [
            ("1.2.3.4", true),
            ("1.2.3.4/32", true),
            ("1.2.3.4/0", true),
            ("1.2.3.4/33", false),
            ("1.2.3.4/-1", false),
            ("1.2.3.4/", false),
            ("1.2.3.4/8/8", false),
            ("1.2.3", false),
            ("1.2.3.4.5", false),
            ("1.2.3.256", false),
            ("1.2.3.-1", false),
            ("1.2.3.", false),
            ("", false),
            ("localhost", false),
            ("::1/128", true),
            ("::1/129", false),
            ("::", true),
            ("1:2:3:4:5:6:7:8", true),
            ("1:2:3:4:5:6:7", false),
            ("1:2:3:4:5:6:7:8:9", false),
            ("1:2:3:4::5:6:7:8", false),
            ("1:2:3::5:6:7:8", true),
            ("1::2::3", false),
            ("12345::", false),
            ("g::", false),
            (":1:2:3:4:5:6:7", false),
            (":::", false),
            // As Java reads numbers.
            ("+1.02.003.4", true),
            ("::+1", true),
            // Which Java does not read.
            ("::ffff:1.2.3.4", false),
            ("fe80::1%eth0", false),
        ] {
            assert_eq!(is_valid(id), valid, "{id}");
        }
    }

    #[test]
    fn an_address_is_in_its_networks() {
        for (address, network, contains) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.255.255", "10.1.0.0/15", true),
            ("10.0.255.255", "10.1.0.0/16", false),
            ("9.9.9.9", "0.0.0.0/0", true),
            ("::1", "0.0.0.0/0", false),
            ("9.9.9.9", "::/0", false),
            ("fe80::1", "::/0", true),
            ("fe80::1:2:3:4", "fe80::/64", true),
            ("fe80:0:0:1::1", "fe80::/64", false),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("1:2:3:0:0:6:7:8", "1:2:3::6:7:8", true),
            ("1:0:0:0:0:0:0:0", "1::/16", true),
            ("nonsense", "0.0.0.0/0", false),
            ("10.0.0.1", "10.0.0.1/33", false),
        ] {
            assert_eq!(matches(address, network), contains, "{address} in {network}");
        }
    }

    #[test]
    fn ids_are_spelt_as_java_spells_them() {
        for (ip, id) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::a:0", "2001:db8:0:0:0:0:a:0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("somewhere", "somewhere"),
        ] {
            assert_eq!(id_of(ip), id);
        }
    }
}
