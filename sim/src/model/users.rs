//! Who the load's clients say they are: users of scheme digest, and what a list has for each.

use zebu_core::proto::{Id, Request};

/// What an auth packet says, and the id that stands for it in a list: upstream's own hashes.
pub const USERS: [(&str, &str); 2] = [
    ("ann:secret", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="),
    ("bob:secret", "bob:fyVmFCwVbTJYrznoSu1koqYEYF0="),
];

/// Those whose password a connection has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Users {
    /// A bit for each of [`USERS`].
    known: u8,
    /// It has said what is not known here.
    others: bool,
}

impl Users {
    pub const NOBODY: Self = Self { known: 0, others: false };

    /// What comes behind `request` on the same connection is asked on their behalf too.
    pub fn hear(&mut self, request: &Request) {
        let Request::Auth { scheme, auth } = request else { return };
        let auth = auth.0.as_deref().unwrap_or_default();
        let said = |(said, _): &(&str, &str)| scheme == "digest" && said.as_bytes() == auth;
        match USERS.iter().position(said) {
            Some(user) => self.known |= 1 << user,
            None => self.others = true,
        }
    }

    /// Is `id`, of scheme digest, one of them? `None` where it cannot be known.
    pub fn have(self, id: &str) -> Option<bool> {
        let user = USERS.iter().position(|(_, known)| *known == id);
        match user.is_some_and(|user| self.known & 1 << user != 0) {
            true => Some(true),
            false if self.others => None,
            false => Some(false),
        }
    }

    /// All of them, in the only order that they can have. `None` where there could be others.
    pub fn ids(self) -> Option<Vec<Id>> {
        let known = USERS.iter().enumerate().filter(|(user, _)| self.known & 1 << user != 0);
        let ids: Vec<_> =
            known.map(|(_, (_, id))| Id { scheme: "digest".into(), id: (*id).into() }).collect();
        (!self.others && ids.len() <= 1).then_some(ids)
    }
}

pub fn login(user: usize) -> Request {
    Request::Auth { scheme: "digest".into(), auth: USERS[user].0.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zebu_core::auth::digest::{Algorithm, user_and_hash};

    #[test]
    fn who_said_which_password() {
        let mut users = Users::NOBODY;
        assert_eq!((users.have(USERS[0].1), users.ids()), (Some(false), Some(vec![])));
        users.hear(&login(1));
        users.hear(&Request::Ping);
        assert_eq!((users.have(USERS[0].1), users.have(USERS[1].1)), (Some(false), Some(true)));
        assert_eq!(users.ids().map(|ids| ids[0].id.clone()).as_deref(), Some(USERS[1].1));
        users.hear(&login(0));
        assert_eq!((users.have(USERS[0].1), users.ids()), (Some(true), None));
        users.hear(&Request::Auth { scheme: "digest".into(), auth: "eve:x".into() });
        assert_eq!((users.have("eve:y"), users.have(USERS[0].1)), (None, Some(true)));
    }

    #[test]
    fn the_hashes_are_what_a_server_makes_of_the_passwords() {
        for (said, id) in USERS {
            let made = user_and_hash(said, Algorithm::Sha1);
            assert_eq!(made, id);
        }
    }
}
