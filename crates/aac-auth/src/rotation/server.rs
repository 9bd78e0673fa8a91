//! The authorization server of the worlds, and its refresh tokens by their numbers.

/// A refresh token; none is 0.
pub(super) type Token = u8;
pub(super) const NONE: Token = 0;
/// A set of tokens.
pub(super) type Tokens = u16;

pub(super) fn set(token: Token) -> Tokens {
    if token == NONE { 0 } else { 1 << token }
}

pub(super) fn has(tokens: Tokens, token: Token) -> bool {
    tokens & set(token) != 0
}

/// The tokens that were made, which are fewer than `ROOM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server<const ROOM: usize> {
    /// How many there are, and of which family each is.
    pub(super) made: Token,
    pub(super) families: [u8; ROOM],
    pub(super) used: Tokens,
    pub(super) dead: Tokens,
    /// Access tokens that are still good, by their refresh token.
    pub(super) fresh: Tokens,
}

impl<const ROOM: usize> Default for Server<ROOM> {
    fn default() -> Self {
        Self { made: 0, families: [0; ROOM], used: 0, dead: 0, fresh: 0 }
    }
}

impl<const ROOM: usize> Server<ROOM> {
    /// A new pair of a family.
    pub(super) fn make(&mut self, family: u8) -> Token {
        self.made += 1;
        assert!(usize::from(self.made) < ROOM, "more tokens than the world has room for");
        self.families[usize::from(self.made)] = family;
        self.fresh |= set(self.made);
        self.made
    }

    /// A new pair of a new family, whose access token is no longer good.
    pub(super) fn make_stale(&mut self) -> Token {
        let token = self.make(self.families.iter().max().map_or(1, |last| last + 1));
        self.fresh &= !set(token);
        token
    }

    /// The tokens of the same family.
    fn family(&self, token: Token) -> Tokens {
        let family = self.families[usize::from(token)];
        (1..=self.made).filter(|&other| self.families[usize::from(other)] == family).map(set).sum()
    }

    /// A token is sent: gives a new one, or none if it is refused.
    pub(super) fn refresh(
        &mut self,
        token: Token,
        has_grace: bool,
        has_replay_protection: bool,
    ) -> Token {
        if token > self.made || has(self.dead, token) {
            return NONE;
        }
        if has(self.used, token) && !has_grace {
            if has_replay_protection {
                self.dead |= self.family(token);
            }
            return NONE;
        }
        self.used |= set(token);
        self.make(self.families[usize::from(token)])
    }

    /// The tokens that would be taken.
    pub(super) fn living(&self) -> Tokens {
        let all = ((1_u32 << (self.made + 1)) - 2) as Tokens;
        all & !self.used & !self.dead
    }
}
