//! Permissions as people write them.

use zebu_core::proto::perms;

/// One letter for each thing that is permitted, in the order of upstream's shell; none for what nobody
/// knows.
// ZK: ZKUtil.getPermString (3.9)
pub(crate) fn of(permissions: i32) -> String {
    let letters = [
        (perms::CREATE, 'c'),
        (perms::DELETE, 'd'),
        (perms::READ, 'r'),
        (perms::WRITE, 'w'),
        (perms::ADMIN, 'a'),
    ];
    letters.iter().filter(|(bit, _)| permissions & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions() {
        for (permissions, expected) in
            [(perms::ALL, "cdrwa"), (perms::READ, "r"), (0, ""), (32, "")]
        {
            assert_eq!(of(permissions), expected);
        }
    }
}
