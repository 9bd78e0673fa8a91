//! What a run does with what it finds: the decisions, separate from carrying them out. The tables are
//! in ROTATION.md, beside this crate's Cargo.toml; each row is an arm here.

use crate::store::journal::Failure;
use crate::store::spent::SpentTokens;
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::secret::Digest;

/// How long a failure counts for runs that waited behind it, in milliseconds.
const FAILURE_COUNTS: i64 = 60_000;
/// How long a refresh token is not sent that came without an access token of use, in milliseconds. Each
/// try costs a token.
const UNUSED_COUNTS: i64 = 600_000;

/// What was found beside the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State<'a> {
    /// The refresh token in creds.json; `None` if the file is missing, empty or damaged.
    pub(crate) creds: Option<&'a Digest>,
    /// The account of a damaged creds.json, if it still says.
    pub(crate) owner: Option<&'a Claims>,
    pub(crate) journal: JournalState<'a>,
    /// The pairs that are set aside, oldest first.
    pub(crate) set_aside: &'a [Saved<'a>],
    /// Which tokens have been used, according to the record, the journal and the pairs set aside.
    pub(crate) spent: &'a SpentTokens,
    pub(crate) now: LocalTime,
}

/// What the journal says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JournalState<'a> {
    None,
    /// The run was cut off or gave up, without a usable response.
    Unanswered {
        spent: Option<&'a Digest>,
        failure: Option<&'a Failure>,
    },
    /// It holds a pair.
    Received {
        pair: Saved<'a>,
        is_in_creds: bool,
        failure: Option<&'a Failure>,
    },
}

/// A pair saved in a journal, or in one that was set aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved<'a> {
    /// The refresh token that was used to get it.
    pub(crate) spent: &'a Digest,
    /// The refresh token received; the same one if the server keeps it in force.
    pub(crate) next: &'a Digest,
    /// Its account, if its access token says.
    pub(crate) claims: Option<&'a Claims>,
}

/// What an earlier run has left about the token to be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct PriorAttempt {
    /// The run was cut off when it may have been sending, or its response was lost.
    pub(crate) in_doubt: bool,
    /// The run failed with this error.
    pub(crate) failure: Option<Failure>,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Recovery {
    /// Continue with creds.json.
    Nothing(PriorAttempt),
    /// Report this once more, instead of sending the token in creds.json: it came without an access token
    /// of use, and so would the next one.
    Report(Failure),
    /// The journal's pair is in creds.json: remove the journal.
    DropJournal,
    /// creds.json has other tokens, which win: keep the journal's pair for later.
    SetJournalAside,
    /// Put the journal's pair into creds.json. `older_copy`: when the token in creds.json was used, if
    /// that is an older copy.
    CommitJournal { older_copy: Option<LocalTime> },
    /// Put this one of the pairs that are set aside into creds.json.
    Restore { index: usize, older_copy: Option<LocalTime> },
    /// creds.json is an older copy, and the newer pair is not here.
    OlderCopy { since: LocalTime },
    /// creds.json is unusable, and pairs of several accounts, or of another than its own, are set aside.
    SeveralAccounts,
    /// creds.json is unusable, and there is nothing to recover from.
    NoTokens,
}

/// Decides what a run does that found this state.
pub(crate) fn decide(state: &State<'_>) -> Recovery {
    let received = match state.journal {
        JournalState::Received { pair, is_in_creds, .. } => Some((pair, is_in_creds)),
        _ => None,
    };
    let Some(creds) = state.creds else {
        return match received {
            Some(_) => Recovery::CommitJournal { older_copy: None },
            None => restore_any(state),
        };
    };
    if matches!(received, Some((_, true))) {
        return match unused(creds, state) {
            Some(failure) => Recovery::Report(failure.clone()),
            None => Recovery::DropJournal,
        };
    }
    let journal = received.map(|(pair, _)| pair);
    let Some((newest, since)) = state.spent.newest(creds) else {
        return match journal {
            // creds.json has its refresh token, beside an unusable access token.
            Some(pair) if pair.next == creds && pair.spent != creds => {
                Recovery::CommitJournal { older_copy: None }
            }
            // The server kept the token in force, and sent a new access token.
            Some(pair) if pair.spent == creds => Recovery::CommitJournal { older_copy: None },
            Some(_) => Recovery::SetJournalAside,
            None => match unused(creds, state) {
                Some(failure) => Recovery::Report(failure.clone()),
                None => Recovery::Nothing(prior_attempt(creds, &state.journal)),
            },
        };
    };
    // The token in creds.json has been used, and must not be sent.
    match journal {
        Some(pair) if pair.next == newest => Recovery::CommitJournal {
            // Not if this is the very run that was cut off before its commit.
            older_copy: (pair.spent != creds).then_some(since),
        },
        Some(_) => Recovery::SetJournalAside,
        None => match state.set_aside.iter().rposition(|pair| pair.next == newest) {
            Some(index) => Recovery::Restore { index, older_copy: Some(since) },
            None => Recovery::OlderCopy { since },
        },
    }
}

/// Why the token in creds.json is not to be sent yet, if it came without an access token of use.
fn unused<'a>(creds: &Digest, state: &State<'a>) -> Option<&'a Failure> {
    let (JournalState::Received { failure, .. } | JournalState::Unanswered { failure, .. }) =
        state.journal
    else {
        return None;
    };
    // A clock that was set back ends it, too.
    failure.filter(|failure| {
        let age = state.now.0.saturating_sub(failure.time.0);
        failure.unused.as_ref() == Some(creds) && (0..UNUSED_COUNTS).contains(&age)
    })
}

/// Whether a pair that is set aside may still be good: it has not been used itself.
pub(crate) fn is_current(pair: &Saved<'_>, spent: &SpentTokens) -> bool {
    spent.newest(pair.next).is_none()
}

/// Whether to keep a pair that is set aside: it may still be good, and is not also in creds.json.
pub(crate) fn is_kept(pair: &Saved<'_>, creds: Option<&Digest>, spent: &SpentTokens) -> bool {
    is_current(pair, spent) && Some(pair.next) != creds
}

/// Whether a pair that is set aside may be used once the token in creds.json is refused. Only the user
/// may switch to another account.
pub(crate) fn may_replace(pair: &Saved<'_>, account: &Claims) -> bool {
    pair.claims.is_some_and(|claims| claims.is_same_account(account))
}

/// Whether a failure came while this run was waiting: runs that waited behind it report it, instead of
/// asking the server again.
pub(crate) fn is_news(
    failure: &Failure,
    has_waited: bool,
    since: LocalTime,
    now: LocalTime,
) -> bool {
    has_waited && failure.time >= since && now.0.saturating_sub(failure.time.0) < FAILURE_COUNTS
}

/// The newest pair that is set aside, if all are of one account. Without creds.json, nothing says which
/// account is meant.
fn restore_any(state: &State<'_>) -> Recovery {
    let current = |pair: &&Saved<'_>| is_current(pair, state.spent);
    let Some(index) = state.set_aside.iter().rposition(|pair| current(&pair)) else {
        return Recovery::NoTokens;
    };
    let newest = state.set_aside[index].claims;
    if let Some(owner) = state.owner
        && !newest.is_some_and(|claims| claims.is_same_account(owner))
    {
        return Recovery::SeveralAccounts;
    }
    let is_same = |pair: &Saved<'_>| match (pair.claims, newest) {
        (Some(one), Some(other)) => one.is_same_account(other),
        _ => false,
    };
    let mut others = state.set_aside[..index].iter().filter(current);
    match others.all(is_same) {
        true => Recovery::Restore { index, older_copy: None },
        false => Recovery::SeveralAccounts,
    }
}

fn prior_attempt(creds: &Digest, journal: &JournalState<'_>) -> PriorAttempt {
    match journal {
        JournalState::Unanswered { spent, failure } => PriorAttempt {
            // This also covers the token of a pair that was set aside.
            in_doubt: failure.is_none_or(|failure| failure.in_doubt),
            failure: failure.filter(|_| spent.is_none_or(|spent| spent == creds)).cloned(),
        },
        _ => PriorAttempt::default(),
    }
}

/// What creds.json holds when the response arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Now<'a> {
    /// A refresh token.
    Token(&'a Digest),
    /// Nothing at all.
    Nothing,
    /// Content without a refresh token.
    Damaged,
}

/// What to do with the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Write it to creds.json.
    Write,
    /// Keep a copy of the damaged creds.json, then write the response to it.
    KeepDamagedAndWrite,
    /// Leave someone else's tokens in creds.json, and set the response aside.
    GiveWay,
}

/// Whether a response may be committed over the present creds.json, which held `before` when the token
/// was sent.
pub(crate) fn commit(now: Now<'_>, before: &Digest) -> Commit {
    match now {
        Now::Token(token) if token == before => Commit::Write,
        Now::Token(_) => Commit::GiveWay,
        Now::Nothing => Commit::Write,
        Now::Damaged => Commit::KeepDamagedAndWrite,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::spent::Link;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn claims(user: &str) -> Claims {
        let text = |text: &str| Some(text.to_owned());
        Claims {
            iss: text("iss"),
            client_id: text("id"),
            sub: text(user),
            scope: text("w:1"),
            ..Claims::default()
        }
    }

    /// A pair as the tests write it: the token used to get it, its own token, its user.
    type Pair = (&'static str, &'static str, &'static str);

    /// The decision, in short: creds.json, the journal, the pairs set aside, the record.
    fn decided(
        creds: Option<&str>,
        journal: Option<Pair>,
        set_aside: &[Pair],
        record: &[(&str, &str)],
    ) -> String {
        let creds = creds.map(digest);
        let own = |&(spent, next, user): &Pair| (digest(spent), digest(next), claims(user));
        let journal = journal.as_ref().map(own);
        let set_aside: Vec<_> = set_aside.iter().map(own).collect();
        let mut spent = SpentTokens::default();
        for (spent_token, next) in record {
            let (spent_token, next) = (digest(spent_token), digest(next));
            spent.add(Link { spent: spent_token, next, time: LocalTime(7) });
        }
        for (spent_token, next, _) in set_aside.iter().chain(&journal) {
            let (spent_token, next) = (spent_token.clone(), next.clone());
            spent.add(Link { spent: spent_token, next, time: LocalTime(9) });
        }
        fn saved((spent, next, claims): &(Digest, Digest, Claims)) -> Saved<'_> {
            Saved { spent, next, claims: claims.sub.is_some().then_some(claims) }
        }
        let set_aside: Vec<_> = set_aside.iter().map(saved).collect();
        let journal = match &journal {
            None => JournalState::None,
            Some(pair) => JournalState::Received {
                pair: saved(pair),
                is_in_creds: creds.as_ref() == Some(&pair.1) && pair.0 != pair.1,
                failure: None,
            },
        };
        let state = State {
            creds: creds.as_ref(),
            owner: None,
            journal,
            set_aside: &set_aside,
            spent: &spent,
            now: LocalTime(9),
        };
        match decide(&state) {
            Recovery::CommitJournal { older_copy: Some(_) } => {
                "commit over an older copy".to_owned()
            }
            Recovery::CommitJournal { older_copy: None } => "commit".to_owned(),
            Recovery::Restore { index, older_copy } => {
                format!("restore {index}{}", if older_copy.is_some() { ", older copy" } else { "" })
            }
            Recovery::OlderCopy { since } => format!("older copy since {}", since.0),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn each_row_of_the_table() {
        // T is the token in creds.json, N the one received for it.
        for (creds, journal, set_aside, record, expected) in [
            (Some("T"), None, &[][..], &[][..], "Nothing"),
            (Some("T"), Some(("T", "N", "me")), &[], &[], "commit"),
            (Some("T"), Some(("T", "T", "me")), &[], &[], "commit"),
            (Some("N"), Some(("T", "N", "me")), &[], &[], "DropJournal"),
            (Some("X"), Some(("T", "N", "me")), &[], &[], "SetJournalAside"),
            // creds.json is missing or damaged.
            (None, Some(("T", "N", "me")), &[], &[], "commit"),
            (None, None, &[("T", "N", "me")], &[], "restore 0"),
            (None, None, &[("T", "N", "me"), ("A", "B", "me")], &[], "restore 1"),
            (None, None, &[("T", "N", "me"), ("A", "B", "you")], &[], "SeveralAccounts"),
            (None, None, &[("T", "N", "me"), ("A", "B", "me")], &[("B", "C")], "restore 0"),
            (None, None, &[("T", "N", "me")], &[("N", "O")], "NoTokens"),
            (None, None, &[], &[("T", "N")], "NoTokens"),
            // creds.json is an older copy.
            (Some("T"), None, &[], &[("T", "N")], "older copy since 7"),
            (Some("T"), None, &[], &[("T", "N"), ("N", "O")], "older copy since 7"),
            (Some("T"), Some(("N", "O", "me")), &[], &[("T", "N")], "commit over an older copy"),
            (Some("T"), Some(("A", "B", "me")), &[], &[("T", "N")], "SetJournalAside"),
            (Some("T"), None, &[("N", "O", "me")], &[("T", "N")], "restore 0, older copy"),
            (Some("T"), None, &[("T", "N", "me")], &[], "restore 0, older copy"),
            (Some("T"), None, &[("T", "N", "me")], &[("N", "O")], "older copy since 7"),
            // An unrelated pair changes nothing.
            (Some("T"), None, &[("A", "B", "me")], &[("S", "T")], "Nothing"),
        ] {
            let found = decided(creds, journal, set_aside, record);
            assert_eq!(
                found.replace("since 9", "since 7"),
                expected,
                "{creds:?} {journal:?} {set_aside:?} {record:?}"
            );
        }
    }

    #[test]
    fn a_response_is_committed_over_its_own_token_alone() {
        let (before, other) = (digest("T"), digest("X"));
        for (now, expected) in [
            (Now::Token(&before), Commit::Write),
            (Now::Token(&other), Commit::GiveWay),
            (Now::Nothing, Commit::Write),
            (Now::Damaged, Commit::KeepDamagedAndWrite),
        ] {
            assert_eq!(commit(now, &before), expected);
        }
    }

    #[test]
    fn a_pair_that_is_set_aside_is_kept_while_it_may_be_good() {
        let (used, next, other, me) = (digest("S"), digest("T"), digest("X"), claims("me"));
        let pair = Saved { spent: &used, next: &next, claims: Some(&me) };
        let mut spent = SpentTokens::default();
        assert!(is_kept(&pair, Some(&other), &spent) && is_kept(&pair, None, &spent));
        assert!(!is_kept(&pair, Some(&next), &spent), "it is in creds.json");
        spent.add(Link { spent: next.clone(), next: other.clone(), time: LocalTime(7) });
        assert!(!is_kept(&pair, Some(&other), &spent), "it was used");
        assert!(may_replace(&pair, &me) && !may_replace(&pair, &claims("you")));
        let elsewhere = Claims { scope: Some("w:2".to_owned()), ..claims("me") };
        assert!(!may_replace(&pair, &elsewhere), "the same user in another workspace");
        assert!(!may_replace(&Saved { claims: None, ..pair }, &me), "it does not say whose it is");
    }

    #[test]
    fn a_token_that_came_without_an_access_token_of_use_is_not_sent_for_a_while() {
        let (sent, next, pasted) = (digest("T"), digest("N"), digest("X"));
        let failure = Failure {
            message: String::new(),
            help: String::new(),
            exit_code: 1,
            is_refusal: false,
            in_doubt: false,
            time: LocalTime(1000),
            unused: Some(next.clone()),
        };
        let pair = Saved { spent: &sent, next: &next, claims: None };
        let mut spent = SpentTokens::default();
        spent.add(Link { spent: sent.clone(), next: next.clone(), time: LocalTime(900) });
        let failure = Some(&failure);
        let unsaved = JournalState::Unanswered { spent: Some(&sent), failure };
        let decided = |creds, journal, now| {
            let now = LocalTime(now);
            let state = State { creds, owner: None, journal, set_aside: &[], spent: &spent, now };
            let decided = format!("{:?}", decide(&state));
            decided.split(['(', ' ']).next().unwrap_or_default().to_owned()
        };
        for (creds, is_in_creds, now, expected, without_pair) in [
            (Some(&next), true, 1000, "Report", "Report"),
            (Some(&next), true, 1000 + UNUSED_COUNTS - 1, "Report", "Report"),
            (Some(&next), true, 1000 + UNUSED_COUNTS, "DropJournal", "Nothing"),
            (Some(&next), true, 999, "DropJournal", "Nothing"),
            (Some(&pasted), false, 1000, "SetJournalAside", "Nothing"),
            // Beside an access token that cannot even be refreshed.
            (Some(&next), false, 1000, "CommitJournal", "Report"),
            (Some(&sent), false, 1000, "CommitJournal", "OlderCopy"),
            (None, false, 1000, "CommitJournal", "NoTokens"),
        ] {
            let journal = JournalState::Received { pair, is_in_creds, failure };
            assert_eq!(decided(creds, journal, now), expected, "{creds:?} {now}");
            assert_eq!(decided(creds, unsaved, now), without_pair, "{creds:?} {now}");
        }
    }

    #[test]
    fn a_failure_is_news_to_those_who_waited_for_it() {
        let failure = Failure {
            message: String::new(),
            help: String::new(),
            exit_code: 1,
            is_refusal: false,
            in_doubt: false,
            time: LocalTime(1000),
            unused: None,
        };
        for (has_waited, since, now, expected) in [
            (true, 900, 1100, true),
            (false, 900, 1100, false),
            (true, 1001, 1100, false),
            (true, 900, 1000 + FAILURE_COUNTS, false),
        ] {
            let is_news = is_news(&failure, has_waited, LocalTime(since), LocalTime(now));
            assert_eq!(is_news, expected, "{has_waited} {since} {now}");
        }
    }
}
