//! All tokens ever issued, and what became of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Tokens;
use super::jwt::{Mint, Session};
use super::random;

/// All tokens ever issued.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    families: Vec<Family>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    /// Access tokens up to this number are revoked.
    revoked_up_to: usize,
}

/// One sign-in on the web page, and all tokens that descend from it. Times are in seconds since 1970.
#[derive(Debug)]
pub(crate) struct Family {
    /// Counts from 1.
    pub(crate) number: usize,
    pub(crate) session: Session,
    revoked: bool,
    /// Whether the user has disabled it on the web page.
    pub(crate) disabled: bool,
    /// When its refresh tokens expire.
    pub(crate) expires: i64,
    /// When it was issued or refreshed last.
    pub(crate) active: i64,
}

#[derive(Debug)]
struct RefreshToken {
    /// An index.
    family: usize,
    /// Counts from 1 across all families. The log shows it in place of the token.
    number: usize,
    spent: Option<Instant>,
}

#[derive(Debug)]
struct AccessToken {
    number: usize,
    expires: i64,
}

/// The rules for a refresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The server's time, in seconds since 1970.
    pub(crate) now: i64,
    pub(crate) grace: Duration,
    pub(crate) replay_protection: bool,
}

/// A successful refresh.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) tokens: Tokens,
    /// The number of the refresh token that was spent.
    pub(crate) from: usize,
    /// The number of the refresh token that was issued.
    pub(crate) to: usize,
}

/// A refresh token is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// For the log.
    pub(crate) why: String,
    /// The token was spent earlier.
    pub(crate) reused: bool,
    /// Its family is revoked now, for this reuse.
    pub(crate) revokes: bool,
}

impl Ledger {
    /// Starts a family. Its access token is `age` seconds old.
    pub(crate) fn issue(&mut self, mint: &Mint, now: i64, age: i64) -> Tokens {
        let iat = now - age;
        let index = self.families.len();
        self.families.push(Family {
            number: index + 1,
            session: Session { sid: random::uuid(), auth_time: iat },
            revoked: false,
            disabled: false,
            expires: iat + mint.pair_lifetime,
            active: iat,
        });
        let access_token = self.issue_access_token(mint, index, iat, false);
        Tokens { access_token, refresh_token: self.issue_refresh_token(mint, index).0 }
    }

    /// Spends a refresh token and issues a new pair. `dashes`: see [`Mint::access_token`].
    pub(crate) fn refresh(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        policy: Policy,
        dashes: bool,
    ) -> Result<Rotation, Refusal> {
        let (family, from) = self.redeem(refresh_token, policy)?;
        let access_token = self.issue_access_token(mint, family, policy.now, dashes);
        let (new, to) = self.issue_refresh_token(mint, family);
        // The grace period starts with the first use. Sending the token again does not extend it.
        if let Some(token) = self.refresh_tokens.get_mut(refresh_token) {
            token.spent.get_or_insert_with(Instant::now);
        }
        Ok(Rotation { tokens: Tokens { access_token, refresh_token: new }, from, to })
    }

    /// Issues an access token without spending the refresh token.
    pub(crate) fn access_token_only(
        &mut self,
        mint: &Mint,
        refresh_token: &str,
        policy: Policy,
    ) -> Result<String, Refusal> {
        let (family, _) = self.redeem(refresh_token, policy)?;
        Ok(self.issue_access_token(mint, family, policy.now, false))
    }

    /// Checks a refresh token that was sent, and revokes its family if it was reused.
    fn redeem(&mut self, refresh_token: &str, policy: Policy) -> Result<(usize, usize), Refusal> {
        self.check(refresh_token, policy).inspect_err(|refusal| {
            if refusal.revokes {
                let family = self.refresh_tokens[refresh_token].family;
                self.families[family].revoked = true;
            }
        })
    }

    /// Checks a refresh token; returns the index of its family, and its number.
    pub(crate) fn check(
        &self,
        refresh_token: &str,
        policy: Policy,
    ) -> Result<(usize, usize), Refusal> {
        let refuse = |why: String, reused, revokes| Err(Refusal { why, reused, revokes });
        let Some(token) = self.refresh_tokens.get(refresh_token) else {
            return refuse("refused: no such refresh token".to_owned(), false, false);
        };
        let family = &self.families[token.family];
        let refused = format!("refused: refresh token #{}", token.number);
        if token.spent.is_some_and(|spent| spent.elapsed() >= policy.grace) {
            let revokes = policy.replay_protection && !family.revoked;
            let more = if revokes { "; now its whole family is revoked" } else { "" };
            refuse(format!("{refused} was spent before{more}"), true, revokes)
        } else if family.revoked {
            refuse(format!("{refused} was revoked"), false, false)
        } else if policy.now >= family.expires {
            refuse(format!("{refused} has expired"), false, false)
        } else {
            Ok((token.family, token.number))
        }
    }

    /// Whether an access token is valid at `now`.
    pub(crate) fn accepts(&self, access_token: &str, now: i64) -> bool {
        self.access_tokens
            .get(access_token)
            .is_some_and(|token| token.number > self.revoked_up_to && now < token.expires)
    }

    /// Revokes all access tokens issued so far.
    pub(crate) fn revoke_access_tokens(&mut self) {
        self.revoked_up_to = self.access_tokens.len();
    }

    /// The family of a session.
    pub(crate) fn family(&self, sid: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.session.sid == sid)
    }

    /// Disables all pairs issued so far: their refresh tokens are refused from now on.
    pub(crate) fn disable(&mut self) {
        for family in &mut self.families {
            (family.revoked, family.disabled) = (true, true);
        }
    }

    /// Returns a new refresh token with its number.
    fn issue_refresh_token(&mut self, mint: &Mint, family: usize) -> (String, usize) {
        let token = mint.refresh_token(&self.families[family].session);
        let number = self.refresh_tokens.len() + 1;
        self.refresh_tokens.insert(token.clone(), RefreshToken { family, number, spent: None });
        (token, number)
    }

    fn issue_access_token(&mut self, mint: &Mint, family: usize, iat: i64, dashes: bool) -> String {
        let token = mint.access_token(&self.families[family].session, iat, dashes);
        let number = self.access_tokens.len() + 1;
        self.families[family].active = iat;
        let expires = iat + mint.lifetime;
        self.access_tokens.insert(token.clone(), AccessToken { number, expires });
        token
    }
}
