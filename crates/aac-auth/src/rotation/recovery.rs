//! What a run does with what it finds: the decisions, separate from carrying them out. The tables are
//! in ROTATION.md, beside this crate's Cargo.toml; each row is an arm here.

use crate::store::spent::{Newest, SpentTokens};

/// How long a failure counts for runs that waited behind it, in milliseconds.
const FAILURE_COUNTS: i64 = 60_000;
/// How long a refresh token is not sent that came without an access token of use, in milliseconds. Each
/// try costs a token.
const UNUSED_COUNTS: i64 = 600_000;

/// What was found beside the lock. A token, or an account, has a name `N`: its digest, or a number in the
/// worlds of the explorations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<'a, N> {
    /// The refresh token in creds.json; `None` if the file is missing, empty or damaged.
    pub(crate) creds: Option<N>,
    /// Whether a damaged creds.json still says whose it is, and the account, if that is complete.
    pub(crate) owner: Option<Option<N>>,
    pub(crate) journal: JournalState<N>,
    /// The pairs that are set aside, oldest first.
    pub(crate) set_aside: &'a [Saved<N>],
    /// Which tokens have been used, according to the record, the journal and the pairs set aside.
    pub(crate) spent: &'a SpentTokens<N>,
}

/// What the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JournalState<N> {
    None,
    /// The run was cut off or gave up, without a usable response.
    Unanswered {
        spent: Option<N>,
        note: Option<Note<N>>,
    },
    /// It holds a response that stays closed, which counts as a pair.
    Closed,
    /// It holds a pair.
    Received {
        pair: Saved<N>,
        is_in_creds: bool,
        note: Option<Note<N>>,
    },
}

impl<N> JournalState<N> {
    fn note(&self) -> Option<&Note<N>> {
        match self {
            Self::None | Self::Closed => None,
            Self::Unanswered { note, .. } | Self::Received { note, .. } => note.as_ref(),
        }
    }
}

/// What a run that failed has noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Note<N> {
    /// Whether the token may have been used all the same.
    pub(crate) in_doubt: bool,
    /// The refresh token that came without an access token of use: it is not to be sent for a while.
    pub(crate) unused: Option<N>,
    /// In milliseconds; negative if the clock was set back.
    pub(crate) age: i64,
}

/// A pair saved in a journal, or in one that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Saved<N> {
    /// The refresh token that was used to get it.
    pub(crate) spent: N,
    /// The refresh token received; the same one if the server keeps it in force.
    pub(crate) next: N,
    /// Its account, if its access token says.
    pub(crate) account: Option<N>,
}

/// What an earlier run has left about the token to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PriorAttempt {
    /// The run was cut off when it may have been sending, or its response was lost.
    pub(crate) in_doubt: bool,
    /// The run failed, and has noted why.
    pub(crate) is_noted: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Recovery<N> {
    /// Continue with creds.json.
    Nothing(PriorAttempt),
    /// Report the journal's note once more, instead of sending the token in creds.json: it came without an
    /// access token of use, and so would the next one.
    Report,
    /// The journal's pair is in creds.json: remove the journal.
    DropJournal,
    /// creds.json has other tokens, which win: keep the journal's pair for later.
    SetJournalAside,
    /// Put the journal's pair into creds.json. `older_copy`: creds.json has a token that was used before.
    CommitJournal { older_copy: bool },
    /// Put this pair, which is set aside, into creds.json.
    Restore { pair: Saved<N>, older_copy: bool },
    /// creds.json is an older copy, and the newer pair is not here.
    OlderCopy,
    /// creds.json is unusable, and pairs of several accounts, or of another than its own, are set aside.
    SeveralAccounts,
    /// creds.json is unusable, and there is nothing to recover from.
    NoTokens,
    /// A pair that may be the newer one, or the only one, stays closed.
    Closed,
}

/// Decides what a run does that found this state.
pub(crate) fn decide<N: Copy + PartialEq>(state: &State<'_, N>) -> Recovery<N> {
    let received = match state.journal {
        JournalState::Received { pair, is_in_creds, .. } => Some((pair, is_in_creds)),
        _ => None,
    };
    if let JournalState::Closed = state.journal {
        return match state.creds.map(|creds| state.spent.newest(creds)) {
            // Someone has put other tokens there.
            Some(None) => Recovery::SetJournalAside,
            _ => Recovery::Closed,
        };
    }
    let Some(creds) = state.creds else {
        return match received {
            Some(_) => Recovery::CommitJournal { older_copy: false },
            None => restore_any(state),
        };
    };
    if matches!(received, Some((_, true))) {
        return match is_unused(creds, &state.journal) {
            true => Recovery::Report,
            false => Recovery::DropJournal,
        };
    }
    let journal = received.map(|(pair, _)| pair);
    let Some((newest, _)) = state.spent.newest(creds) else {
        return match journal {
            // creds.json has its refresh token, beside an unusable access token.
            Some(pair) if pair.next == creds && pair.spent != creds => {
                Recovery::CommitJournal { older_copy: false }
            }
            // The server kept the token in force, and sent a new access token.
            Some(pair) if pair.spent == creds => Recovery::CommitJournal { older_copy: false },
            Some(_) => Recovery::SetJournalAside,
            None if is_unused(creds, &state.journal) => Recovery::Report,
            None => Recovery::Nothing(prior_attempt(creds, &state.journal)),
        };
    };
    // The token in creds.json has been used, and must not be sent.
    let Newest::Token(newest) = newest else {
        return match journal {
            Some(_) => Recovery::SetJournalAside,
            None => Recovery::Closed,
        };
    };
    match journal {
        // No older copy if this is the very run that was cut off before its commit.
        Some(pair) if pair.next == newest => {
            Recovery::CommitJournal { older_copy: pair.spent != creds }
        }
        Some(_) => Recovery::SetJournalAside,
        None => match state.set_aside.iter().rfind(|pair| pair.next == newest) {
            Some(&pair) => Recovery::Restore { pair, older_copy: true },
            None => Recovery::OlderCopy,
        },
    }
}

/// Whether the token in creds.json is not to be sent yet, because it came without an access token of use.
fn is_unused<N: PartialEq>(creds: N, journal: &JournalState<N>) -> bool {
    // A clock that was set back ends it, too.
    let counts = |note: &Note<N>| (0..UNUSED_COUNTS).contains(&note.age);
    journal.note().is_some_and(|note| note.unused.as_ref() == Some(&creds) && counts(note))
}

/// Whether a pair that is set aside may still be good: it has not been used itself.
pub(crate) fn is_current<N: Copy + PartialEq>(pair: &Saved<N>, spent: &SpentTokens<N>) -> bool {
    spent.newest(pair.next).is_none()
}

/// Whether to keep a pair that is set aside: it may still be good, and is not also in creds.json.
pub(crate) fn is_kept<N: Copy + PartialEq>(
    pair: &Saved<N>,
    creds: Option<N>,
    spent: &SpentTokens<N>,
) -> bool {
    is_current(pair, spent) && Some(pair.next) != creds
}

/// Whether a pair that is set aside may be used once the token in creds.json is refused. Only the user
/// may switch to another account.
pub(crate) fn may_replace<N: Copy + PartialEq>(pair: &Saved<N>, account: Option<N>) -> bool {
    account.is_some() && pair.account == account
}

/// Whether a failure came while this run was waiting, which began so long ago: runs that waited behind it
/// report it, instead of asking the server again.
pub(crate) fn is_news<N>(note: &Note<N>, has_waited: bool, running_for: i64) -> bool {
    has_waited && note.age <= running_for && note.age < FAILURE_COUNTS
}

/// The newest pair that is set aside, if all are of one account. Without creds.json, nothing says which
/// account is meant.
fn restore_any<N: Copy + PartialEq>(state: &State<'_, N>) -> Recovery<N> {
    let current = |pair: &&Saved<N>| is_current(pair, state.spent);
    let Some(index) = state.set_aside.iter().rposition(|pair| current(&pair)) else {
        return Recovery::NoTokens;
    };
    let newest = state.set_aside[index];
    if state.owner.is_some_and(|owner| !may_replace(&newest, owner)) {
        return Recovery::SeveralAccounts;
    }
    let mut others = state.set_aside[..index].iter().filter(current);
    match others.all(|pair| may_replace(pair, newest.account)) {
        true => Recovery::Restore { pair: newest, older_copy: false },
        false => Recovery::SeveralAccounts,
    }
}

fn prior_attempt<N: PartialEq>(creds: N, journal: &JournalState<N>) -> PriorAttempt {
    match journal {
        JournalState::Unanswered { spent, note } => PriorAttempt {
            // This also covers the token of a pair that was set aside.
            in_doubt: note.as_ref().is_none_or(|note| note.in_doubt),
            is_noted: note.is_some() && spent.as_ref().is_none_or(|spent| *spent == creds),
        },
        _ => PriorAttempt::default(),
    }
}

/// What creds.json holds when the response arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Now<N> {
    /// A refresh token.
    Token(N),
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
pub(crate) fn commit<N: PartialEq>(now: Now<N>, before: N) -> Commit {
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
    use crate::tokens::claims::LocalTime;

    /// A pair as the tests write it: the token used to get it, its own token, its user.
    type Pair = (&'static str, &'static str, &'static str);
    type Name = &'static str;

    fn link(spent: Name, next: Name) -> Link<Name> {
        Link { spent, next, time: LocalTime(7) }
    }

    fn saved(&(spent, next, user): &Pair) -> Saved<Name> {
        Saved { spent, next, account: Some(user).filter(|user| !user.is_empty()) }
    }

    /// What was decided, in short.
    fn name(recovery: &Recovery<Name>) -> String {
        match recovery {
            Recovery::CommitJournal { older_copy: true } => "commit over an older copy".to_owned(),
            Recovery::CommitJournal { older_copy: false } => "commit".to_owned(),
            Recovery::Restore { pair, older_copy } => {
                format!("restore {}{}", pair.next, if *older_copy { ", older copy" } else { "" })
            }
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
            (None, None, &[("T", "N", "me")], &[], "restore N"),
            (None, None, &[("T", "N", "")], &[], "restore N"),
            (None, None, &[("T", "N", "me"), ("A", "B", "me")], &[], "restore B"),
            (None, None, &[("T", "N", "me"), ("A", "B", "you")], &[], "SeveralAccounts"),
            (None, None, &[("T", "N", ""), ("A", "B", "")], &[], "SeveralAccounts"),
            (None, None, &[("T", "N", "me"), ("A", "B", "me")], &[("B", "C")], "restore N"),
            (None, None, &[("T", "N", "me")], &[("N", "O")], "NoTokens"),
            (None, None, &[], &[("T", "N")], "NoTokens"),
            // creds.json is an older copy.
            (Some("T"), None, &[], &[("T", "N")], "OlderCopy"),
            (Some("T"), None, &[], &[("T", "N"), ("N", "O")], "OlderCopy"),
            (Some("T"), Some(("N", "O", "me")), &[], &[("T", "N")], "commit over an older copy"),
            (Some("T"), Some(("A", "B", "me")), &[], &[("T", "N")], "SetJournalAside"),
            (Some("T"), None, &[("N", "O", "me")], &[("T", "N")], "restore O, older copy"),
            (Some("T"), None, &[("T", "N", "me")], &[], "restore N, older copy"),
            (Some("T"), None, &[("T", "N", "me")], &[("N", "O")], "OlderCopy"),
            // An unrelated pair changes nothing.
            (Some("T"), None, &[("A", "B", "me")], &[("S", "T")], "Nothing"),
        ] {
            let set_aside: Vec<_> = set_aside.iter().map(saved).collect();
            let mut spent = SpentTokens::default();
            record.iter().for_each(|&(token, next)| spent.add(link(token, next)));
            let journal = journal.as_ref().map(saved);
            for pair in set_aside.iter().chain(&journal) {
                spent.add(link(pair.spent, pair.next));
            }
            let journal = journal.map_or(JournalState::None, |pair| JournalState::Received {
                pair,
                is_in_creds: creds == Some(pair.next) && pair.spent != pair.next,
                note: None,
            });
            let state = State { creds, owner: None, journal, set_aside: &set_aside, spent: &spent };
            assert_eq!(name(&decide(&state)), expected, "{state:?}");
        }
    }

    #[test]
    fn a_damaged_file_that_says_whose_it_is_gets_no_other_account() {
        let spent = SpentTokens::default();
        for (owner, expected) in [
            (None, "restore N"),
            (Some(Some("me")), "restore N"),
            (Some(Some("you")), "SeveralAccounts"),
            (Some(None), "SeveralAccounts"),
        ] {
            let set_aside = &[saved(&("T", "N", "me"))];
            let journal = JournalState::None;
            let state = State { creds: None, owner, journal, set_aside, spent: &spent };
            assert_eq!(name(&decide(&state)), expected, "{owner:?}");
        }
    }

    #[test]
    fn a_response_is_committed_over_its_own_token_alone() {
        for (now, expected) in [
            (Now::Token("T"), Commit::Write),
            (Now::Token("X"), Commit::GiveWay),
            (Now::Nothing, Commit::Write),
            (Now::Damaged, Commit::KeepDamagedAndWrite),
        ] {
            assert_eq!(commit(now, "T"), expected);
        }
    }

    #[test]
    fn a_pair_that_is_set_aside_is_kept_while_it_may_be_good() {
        let pair = saved(&("S", "T", "me"));
        let mut spent = SpentTokens::default();
        assert!(is_kept(&pair, Some("X"), &spent) && is_kept(&pair, None, &spent));
        assert!(!is_kept(&pair, Some("T"), &spent), "it is in creds.json");
        spent.add(link("T", "X"));
        assert!(!is_kept(&pair, Some("X"), &spent), "it was used");
        assert!(may_replace(&pair, Some("me")) && !may_replace(&pair, Some("you")));
        assert!(!may_replace(&pair, None) && !may_replace(&saved(&("S", "T", "")), Some("me")));
        assert!(!may_replace(&saved(&("S", "T", "")), None), "neither says whose it is");
    }

    #[test]
    fn a_token_that_came_without_an_access_token_of_use_is_not_sent_for_a_while() {
        let pair = saved(&("T", "N", ""));
        let mut spent = SpentTokens::default();
        spent.add(link("T", "N"));
        for (creds, is_in_creds, age, expected, without_pair) in [
            (Some("N"), true, 0, "Report", "Report"),
            (Some("N"), true, UNUSED_COUNTS - 1, "Report", "Report"),
            (Some("N"), true, UNUSED_COUNTS, "DropJournal", "Nothing"),
            (Some("N"), true, -1, "DropJournal", "Nothing"),
            (Some("X"), false, 0, "SetJournalAside", "Nothing"),
            // Beside an access token that cannot even be refreshed.
            (Some("N"), false, 0, "CommitJournal", "Report"),
            (Some("T"), false, 0, "CommitJournal", "OlderCopy"),
            (None, false, 0, "CommitJournal", "NoTokens"),
        ] {
            let note = Some(Note { in_doubt: false, unused: Some("N"), age });
            let decided = |journal| {
                let state = State { creds, owner: None, journal, set_aside: &[], spent: &spent };
                name(&decide(&state)).replace("commit", "CommitJournal")
            };
            let saved = decided(JournalState::Received { pair, is_in_creds, note });
            assert_eq!(saved, expected, "{creds:?} {age}");
            let unsaved = decided(JournalState::Unanswered { spent: Some("T"), note });
            assert_eq!(unsaved, without_pair, "{creds:?} {age}");
        }
    }

    #[test]
    fn a_failure_is_news_to_those_who_waited_for_it() {
        for (has_waited, age, running_for, expected) in [
            (true, 100, 200, true),
            (false, 100, 200, false),
            (true, 100, 99, false),
            (true, FAILURE_COUNTS, FAILURE_COUNTS + 1, false),
        ] {
            let note = Note::<Name> { in_doubt: false, unused: None, age };
            assert_eq!(is_news(&note, has_waited, running_for), expected, "{note:?} {running_for}");
        }
    }
}
