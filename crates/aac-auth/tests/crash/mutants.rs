//! Mutants by source of what stands round the machine: each sync, each last look, each lock check and each effect of
//! the driver left out, and conditions turned over, each with the test that finds it. (Mutants of the machine itself are
//! made at run time, by `src/rotation/mutants.rs`.)
//!
//! All of them are built into one copy of the repository, and a variable says which one is in force. Half an
//! hour on two cores:
//!
//! ```text
//! cargo test -p aac-auth --test crash mutants -- --ignored --nocapture
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// What takes the place of an expression of the product.
struct Mutant {
    /// It occurs once in the file, with whatever space in it. Between two bars is the expression, unless it is all
    /// of it.
    was: &'static str,
    now: &'static str,
    end: End,
}

/// What comes of it.
enum End {
    /// Some of these tests fail: the binary, and parts of their names.
    FoundBy(&'static str),
    /// Nobody can tell it from the product, and why.
    Same(&'static str),
    /// No test finds it, and why.
    Open(&'static str),
}

const fn found(was: &'static str, now: &'static str, by: &'static str) -> Mutant {
    Mutant { was, now, end: End::FoundBy(by) }
}

const fn same(was: &'static str, now: &'static str, why: &'static str) -> Mutant {
    Mutant { was, now, end: End::Same(why) }
}

const fn open(was: &'static str, now: &'static str, why: &'static str) -> Mutant {
    Mutant { was, now, end: End::Open(why) }
}

const SYNCS: &str = "crash everything_is_on_the_disk_before_the_next_step";
/// Two programs that hold the lock at once.
const OTHERS: &str = "crash no_file_gets two_that_hold of_another_run another_run_sets";

/// Of each file below `src`. An expression that is part of another comes after it.
const MUTANTS: &[(&str, &[Mutant])] = &[
    ("store/folder.rs", FOLDER),
    ("store/lock.rs", LOCK),
    ("store/spent.rs", SPENT),
    ("store/journal.rs", JOURNAL),
    ("tokens/journal_format.rs", FORMAT),
    ("tokens/sealed.rs", SEALED),
    ("store/saved.rs", SAVED),
    ("store/file_store.rs", FILE_STORE),
    ("rotation/drive.rs", DRIVE),
    ("rotation/findings.rs", FINDINGS),
    ("rotation/told.rs", TOLD),
    ("rotation/refresh.rs", REFRESH),
    ("store/vault/mod.rs", VAULT),
    ("store/vault/client.rs", CLIENT),
    ("store/vault/document.rs", DOCUMENT),
    ("store/vault/protocol.rs", PROTOCOL),
    ("rotation/machine.rs", MACHINE),
    ("rotation/recovery.rs", RECOVERY),
    ("rotation/attempts.rs", ATTEMPTS),
];

#[rustfmt::skip]
const FOLDER: &[Mutant] = &[
    // What is written is on the disk before it gets its name, and so is the name before what follows.
    found("file.write_all(new).and_then(|()| platform::sync(&file))", "file.write_all(new)", SYNCS),
    found("self.sync_folder()?; Ok(Written::ByRename)", "Ok(Written::ByRename)", SYNCS),
    same("self.sync_folder()?; self.overwrite(old, new)", "self.overwrite(old, new)", "nobody reads creds.json.new"),
    found("file.set_len(new.len() as u64)?; ¦platform::sync(&file)¦", "Ok(())", SYNCS),
    open("return ¦platform::sync(&file)¦.map(", "Ok(())", "what a try has written whose sync failed: a test would need a disk that forgets"),
    found("file.write_all(content).and_then(|()| platform::sync(&file)).map_err(at(&self.new))", "file.write_all(content).map_err(at(&self.new))", SYNCS),
    found("rename(&self.new, path).map_err(at(path))?; ¦self.sync_folder()¦", "Ok(())", SYNCS),
    found("file.write_all(content) .and_then(|()| platform::sync(&file)) .map_err(at(&path))", "file.write_all(content).map_err(at(&path))", SYNCS),
    found("¦self.sync_folder()?¦; return Ok(path)", "{}", SYNCS),
    found("rename(&self.journal, &path).map_err(at(&path))?; ¦self.sync_folder()?¦", "{}", SYNCS),
    // So is what another run has written.
    found("Ok(kept) if *kept == content => return ¦self.sync(&path).map(|()| path)¦", "Ok(path)", SYNCS),
    found("¦self.sync(&self.journal)?¦", "{}", SYNCS),
    found("file => ¦file.and_then(|file| platform::sync(&file))¦", "file.map(drop)", SYNCS),
    found("synced.map_err(at(path))?; ¦self.sync_folder()¦", "Ok(())", SYNCS),
    found("if ¦is_out_of_sight(&error)¦ => Ok(())", "false", "lib store::folder"),
    // Last looks.
    found("if ¦!is_still().map_err(at(&self.creds))?¦", "false", "crash tokens_that_are_pasted_while_the_next_creds_json_is_synced_stay"),
    same("if ¦!holds()?¦", "false", "asked after a wait alone, and no system but Windows makes one wait: tests/tokens/windows.rs"),
    found("&& ¦!is_named(file, &self.new)?¦", "false", "crash no_file_gets_the_name_of_creds_json_before_it_is_written"),
    found("if ¦!is_named(file, &self.new)?¦", "false", "crash no_file_gets_the_name_of_the_journal_before_it_is_written"),
    found("if ¦*now != old¦", "false", "lib store::folder"),
    found("Err(FileProblem::Missing) => ¦Ok(old.is_empty())¦", "Ok(false)", "tokens recovery::what_cannot_be_read"),
    // A file in the making is its program's.
    same("left_behind.try_lock().is_ok() && is_named(&left_behind, path)?", "true", "another program that misses its file begins anew"),
    same("left_behind.try_lock().is_ok() && ¦is_named(&left_behind, path)?¦", "true", "another program that misses its file begins anew"),
    found("if ¦error.source.kind() == io::ErrorKind::AlreadyExists¦ => { return Err(taken(path));", "false", "crash a_file_that_another_program_makes"),
    found("¦lock(&file)¦; match", "{}", "crash two_that_hold_the_lock_share_no_file"),
    same("match ¦is_named(&file, path)?¦", "true", "asked again right before it gets its name"),
    found("if ¦!matches!(replaced, Ok(Written::ByRename)) && !is_others¦", "false", "crash a_file_that_is_itself_a_mount_is_written_in_place"),
    same("!matches!(replaced, Ok(Written::ByRename)) && ¦!is_others¦", "true", "another program that misses its file begins anew"),
    found("match ¦platform::names(&file)?¦", "1", "lib store::folder"),
    // What was kept stays, and is found.
    found("Ok(kept) if ¦*kept == content¦", "true", "tokens recovery::damage_is_kept"),
    found("¦last.unwrap_or(0).saturating_add(1)¦", "1", "lib store::folder"),
    found("|| ¦!self.set_aside().is_ok_and(|pairs| pairs.is_empty())¦", "false", "tokens recovery::a_saved_pair_is_found_whatever_else_is_there"),
];

#[rustfmt::skip]
const LOCK: &[Mutant] = &[
    found("match ¦file.try_lock()¦", "Ok::<(), TryLockError>(())", "lib store::lock"),
    same("¦lock.is_named()?¦ && !is_in_use(&files.journal)?", "true", "each effect that wants the lock asks again"),
    found("¦!is_in_use(&files.journal)?¦", "true", "lib store::lock"),
    found("¦!is_in_use(files.next())?¦", "true", "lib store::lock"),
    found("platform::is_named(&self.file, path).map_err(at(path))", "Ok(true)", "lib store::lock"),
];

#[rustfmt::skip]
const SPENT: &[Mutant] = &[
    found("line(link)).as_bytes())?; ¦platform::sync(&file)¦", "Ok(())", SYNCS),
    found("if is_new { files.sync_folder() } else { Ok(()) }", "Ok(())", SYNCS),
    found("if ¦link.spent == link.next¦", "false", "tokens recovery::a_token_that_stays_in_force"),
    found("if ¦known.links.contains(link)¦", "false", "lib store::spent"),
    found("{ return ¦files.sync(path)¦", "Ok(())", SYNCS),
    found("Ok(file) if ¦known.links.len() >= MOST_LINES¦", "false", "lib store::spent"),
    found("known.write(MOST_LINES / 2, link, files)", "known.write(0, link, files)", "lib store::spent"),
    found("Err(error) if ¦error.kind() == io::ErrorKind::NotFound¦", "true", "crash a_record_that_cannot_be_opened_for_a_moment_is_kept"),
    found("if last == [b'\\n'] { \"\" } else { \"\\n\" }", "\"\"", "lib store::spent"),
    found("¦link.spent != link.next¦ && !self.links", "true", "tokens recovery::a_token_that_stays_in_force"),
    found("self.links.iter().rev().find(|link| link.spent == token)", "self.links.iter().find(|link| link.spent == token)", "lib store::spent"),
    found("for _ in ¦0..self.links.len()¦", "0..1", "lib store::spent"),
    found("unopened(newest.spent).or(unopened(newest.next))", "unopened(newest.next)", "lib store::spent"),
    found(".or(¦unopened(newest.next)¦)", "None", "lib store::spent"),
    found("return ¦unopened(token).map(|(_, time)| (Newest::Unopened, *time))¦", "None", "lib store::spent"),
];

#[rustfmt::skip]
const JOURNAL: &[Mutant] = &[
    found("file.write_all(bytes)?; ¦platform::sync(&self.file)¦", "Ok(())", SYNCS),
    found("¦files.sync_folder()?¦; Ok(aside.path)", "{}", "crash what_neither_the_journal"),
    same("Err(error) if ¦error.is_taken() || !lock.is_named()?¦", "error.is_taken()", "the end asks again"),
    found("match ¦lock.is_named()? && !is_in_use(path)?¦", "true", "crash a_journal_of_another_run_is_not_replaced_once_the_lock_is_lost"),
    same("¦lock.is_named()?¦ && !is_in_use(path)?", "true", "whoever has the lock now finds this journal in use"),
    same("¦!is_in_use(path)?¦", "true", "whoever has the lock has found no journal in use"),
    found("if ¦!matches!(begun, Ok(true)) && !is_others¦", "false", "crash a_disk_that_is_full"),
    found("if ¦self.has_tokens.get()¦", "false", "lib store::journal"),
    found("self.has_tokens.set(¦has_refresh_token(response)¦)", "true", "lib store::journal"),
    same("was_in_doubt || ¦error.leaves_doubt()¦", "false", "the machine says so where a response was lost"),
    found("¦was_in_doubt¦ ||", "false", "lib store::journal"),
    found("if ¦is_named(&self.file, &self.path).unwrap_or(false)¦", "true", "lib store::journal"),
    found("match ¦content.len() > place.room¦", "false", "tokens rotation::a_creds_json_that_does_not_fit"),
    found("Ok(Some(_)) => ¦stored.keeping().keep(Kind::Creds, stored.bytes()).raw¦", "stored.raw.clone()", "tokens recovery::what_is_put_back"),
    found("AlreadyExists.into()); } let kept = ¦self.keeping.keep(Kind::Response, response)¦", "Keeping::PLAIN.keep(Kind::Response, response)", "tokens sealed::a_refresh"),
    found("}; let kept = ¦self.keeping.keep(Kind::Response, response)¦", "Keeping::PLAIN.keep(Kind::Response, response)", "lib store::journal"),
    found("keeping: ¦sent.stored.keeping().clone()¦", "Keeping::PLAIN", "tokens sealed::a_refresh sealed::a_pair_in"),
];

#[rustfmt::skip]
const FORMAT: &[Mutant] = &[
    found("(¦is_whole¦ && line.get(\"state\")? == state)", "true", "lib store::journal"),
    found("¦line.get(\"state\")? == state¦", "true", "lib store::journal"),
    found("self.failure.as_ref().is_none_or(|failure| failure.in_doubt)", "false", "tokens recovery::an_earlier_doubt"),
];

#[rustfmt::skip]
const SEALED: &[Mutant] = &[
    found("self.used.fetch_add(1, Ordering::Relaxed)", "self.used.load(Ordering::Relaxed)", "lib tokens::sealed"),
    found("(by.as_str(), ¦kind.as_str()¦)", "{ let _ = kind; \"creds\" }", "lib tokens::sealed"),
    found("Some(VERSION..) => ¦return Err(FileProblem::sealed_by_a_later_version())¦", "{}", "tokens sealed::what_cannot_be_judged"),
    found("_ => ¦return Err(FileProblem::broken_seal())¦", "{}", "tokens sealed::what_cannot_be_judged"),
    found("if ¦!keys::is_name(by, name)¦", "false", "tokens sealed::what_cannot_be_judged"),
    found("place == key && ¦of == print¦", "true", "lib tokens::sealed"),
    found("Ok(sealer) if ¦sealer.print == *print¦", "true", "tokens sealed::without_its_key"),
    found("¦*at >= since¦", "true", "lib tokens::sealed"),
    found("¦lengths.contains(&found.len())¦ && starts(found)", "true", "lib tokens::sealed"),
    found("¦starts(found)¦ && starts(old)", "true", "lib tokens::sealed"),
    found("if self.0.is_some() { self.clone() } else { other.clone() }", "self.clone()", "tokens sealed::plain_and_sealed"),
];

#[rustfmt::skip]
const SAVED: &[Mutant] = &[
    found("Err(problem) if ¦is_obstacle(&problem)¦ => saved.obstacles.push((path, problem))", "false", "tokens recovery::what_another_version"),
    found("for_each(|pair| ¦saved.spent.add(pair.link())¦)", "drop(pair)", "tokens recovery::an_older_copy_leads"),
    found("can_be_written || matches!(problem, FileProblem::OtherVersion { .. })", "can_be_written", "vault refreshes::what_another_version"),
    found("Some(newest) => ¦newest.is_some_and(|it| it.0 == Newest::Token(pair.next))¦", "{ let _ = newest; true }", "vault refreshes::a_pair_in_the_journal"),
    found("it.0 == ¦Newest::Token(pair.next)¦", "it.0", "vault refreshes::a_pair_that_was_used_since"),
    found("false => ¦found.spent.as_ref() == token¦", "true", "vault refreshes::a_journal_of_another_token"),
    found("if ¦!matches!(SavedPair::of(journal, &found, hosts, opener), Ok(None))¦", "false", "vault refreshes::a_vault_that_cannot_be_read_hides_nothing"),
    found("¦found.is_some_and(|found| found.leaves_doubt())¦", "false", "tokens recovery::an_earlier_doubt"),
    same("before.filter(|before| ¦before.refresh_token.digest() == spent¦)", "true", "a journal holds the pair that was sent"),
    found("*found.raw != *old.raw && *found.raw != *new.raw && is_torn(&found.raw, &old.raw, &new.raw)", "false", "tokens recovery"),
    found("¦lengths.contains(&found.len())¦ &&", "true", "lib store::saved"),
    found("¦is_of(old, at, byte)¦ || is_of(new, at, byte)", "false", "lib store::saved"),
    // What stays closed counts.
    found("¦unopened.push((*spent, *time))¦", "{}", "tokens sealed::a_journal_that_stays_closed"),
    found("¦unopened.extend(found.spent.map(|spent| (spent, found.time)))¦", "{}", "tokens sealed::a_journal_that_stays_closed"),
    found("¦saved.unreadable.push((path, problem))¦; } }", "drop((path, problem))", "tokens sealed::what_is_set_aside"),
    found("¦saved.closed = Some(problem)¦", "drop(problem)", "tokens sealed::a_journal_that_stays_closed"),
    found("¦found.response.is_none()¦ && found.leaves_doubt()", "true", "tokens sealed::without_its_key"),
];

#[rustfmt::skip]
const FILE_STORE: &[Mutant] = &[
    found("while ¦is_patient¦", "false", "tokens recovery::an_editor"),
    found("¦files.check().map_err(not_writable)?¦", "{}", "tokens rotation::a_read_only_file"),
    found("match ¦files.replace(same, same)¦", "Ok(Written::ByRename)", "crash a_file_that_is_itself_a_mount_is_written_in_place"),
    found("Ok(Written::NotAsExpected) => return ¦Ok(Replaced::NotAsExpected)¦", "Ok(Replaced::Done)", "crash tokens_that_are_pasted_while_the_next_creds_json_is_synced_stay"),
    found("Err(error) if ¦error.is_taken()¦ => return Ok(Replaced::LockLost)", "false", OTHERS),
    open("Err(error) if ¦is_only_copy¦", "false", "shown where btrfs is: tests/tokens/access.rs"),
    found("Written::NotAsExpected => ¦Replaced::NotAsExpected¦", "Replaced::Done", "tokens stopped::tokens_that_are_pasted"),
];

#[rustfmt::skip]
const DRIVE: &[Mutant] = &[
    // The call: it waits, and lets go.
    found("¦self.will_do(now)¦", "true", "tokens rotation::forty_eight"),
    found("if ¦Instant::now() >= self.deadline¦", "true", "tokens rotation::forty_eight"),
    found("Do::LetGo => { ¦met.guard = None¦", "{}", "vault signals::a_signal_ends_a_run_that"),
    found("credentials.is_fresh() && ¦self.rejected != Some(&credentials.access_token)¦", "true", "tokens recovery::an_older_copy_is_never_sent"),
    // Under the lock.
    found("Do::Wait(Until::Changed) => match ¦self.has_changed(&found)¦", "false", "tokens rotation::what_a_program_without_the_lock"),
    found("match ¦self.keep_damaged(&found.content)¦", "Ok::<(), StoreError>(())", "tokens recovery::damage_is_kept"),
    found("Do::Replace { what, .. } => ¦self.restore(what, &found)¦", "Came::Done", "tokens recovery"),
    found("match ¦self.locked.is_current()¦", "Ok(true)", "vault refreshes::a_standby_that_lags_behind"),
    found("¦self.locked.end_claim(&in_home.refresh_token, Ending::Dead(refused))¦", "{}", "vault refreshes::sixteen_programs"),
    found("Do::End(End { if_held: true, .. }) => match ¦self.without_lock()¦", "None", "tokens stopped::whoever_has_lost_the_lock"),
    found("&& let Err(error) = ¦self.locked.sync()¦", "Ok::<(), StoreError>(())", SYNCS),
    found("&& let Some(came) = ¦self.without_lock()¦", "None", "crash a_journal_of_another_run_is_not_removed_once_the_lock_is_lost"),
    found("if let Some(came) = ¦self.without_lock()¦ { return came", "None", "tokens stopped::whoever_has_lost_the_lock"),
    found("let recorded = ¦SpentTokens::record(files, &Link { spent, next, time })¦", "Ok(())", "tokens recovery::an_older_copy_is_never_sent"),
    found("known.map(|link| link.time).or(own).unwrap_or_else(LocalTime::now)", "LocalTime::now()", "tokens stopped::a_used_token"),
    found("let removed = ¦files.remove(&files.journal)¦", "Ok(())", "tokens recovery"),
    same("let _ = ¦files.remove(files.next())¦", "Ok::<(), StoreError>(())", "what is left behind is safe to delete"),
    found("Some(pair) => ¦files.remove(&pair.path)¦", "drop(pair); Ok(())", "tokens recovery::a_lone_refresh_token"),
    found("match ¦files.set_journal_aside()¦", "Ok(files.journal.clone())", "tokens rotation::an_overtaken_pair"),
    found("¦saved.obstacle(files.is_some())¦", "None", "tokens recovery::what_another_version"),
    found("let is_patient = ¦files.is_some_and(|files| files.have_saved_pair())¦", "false", "tokens recovery::an_editor_that_empties_the_file_first"),
    found("¦saved = saved.about(content.digest().as_ref())¦", "{}", "vault refreshes::a_pair_in_the_journal"),
    found("if ¦saved.received.as_ref().is_some_and(|pair| pair.is_torn(&content.stored))¦", "false", "tokens recovery::a_write_that_was_cut_off"),
    found("¦now.is_some()¦ && now != found.content.digest()", "true", "tokens rotation::what_a_program_without_the_lock"),
    found("if ¦start.elapsed() > CHANGING¦", "true", "tokens rotation::what_a_program_without_the_lock"),
    found("!it.has_sealed() && ¦!pair.is_torn(stored)¦", "true", "tokens recovery::a_write_that_was_cut_off"),
    found("¦whole.or_else(before)¦", "{ drop(before); whole }", "tokens recovery::recovery_keeps_the_other_fields"),
    found("!restored.is_alive() || self.call.rejected == Some(&restored.access_token)", "!restored.is_alive()", "vault refreshes::a_pair_in_the_journal"),
    found("match ¦Journal::check(sent)¦", "Ok(())", "tokens rotation::a_creds_json_that_does_not_fit"),
    found("Ok(()) => ¦self.locked.rehearse(in_home, sent)¦", "Ok(Replaced::Done)", "tokens rotation::a_read_only_file"),
    found("if ¦in_home.refresh_token == sent.refresh_token¦", "false", "vault refreshes::sixteen_programs"),
    found("Ok(Some(journal)) => ¦(Some(journal), Came::Done, None)¦", "{ drop(journal); (None, Came::Done, None) }", "tokens recovery"),
    found("Ok(None) => ¦(None, Came::LockLost, None)¦", "(None, Came::Done, None)", OTHERS),
    // With a token in use.
    found("if ¦call.rotation.holds_signals¦ { SignalGuard::prepare", "false", "tokens signals::the_pair_is_saved"),
    found("self.held.met.guard = ¦call.rotation.holds_signals.then(SignalGuard::new)¦", "None", "vault signals::a_signal_before_the_send"),
    found("Do::FreeSignals => { ¦self.held.met.guard = None¦", "{}", "tokens signals::while_a_server_is_busy"),
    open("Do::Close => { ¦self.held.met.guard = None¦", "{}", "a signal would be held for two seconds more, which only a clock can tell; the worlds show the step"),
    found("filter(|_| ¦!keeps_journal¦)", "true", "vault refreshes::a_doubt_of_the_folders_days"),
    found("¦journal.withdraw(files)¦", "drop(journal)", "vault signals::a_signal_before_the_send"),
    same("¦self.end_claim(Ending::Unsent)¦", "{}", "it goes with the lock, at the next step"),
    found("¦self.lost.is_none() && SignalGuard::is_pending()¦", "false", "vault signals::a_signal_ends_a_run"),
    found("¦self.lost.is_none()¦ && SignalGuard::is_pending()", "true", "tokens signals::after_a_lost_response"),
    open("is_ending || ¦Instant::now() + pause >= self.until(deadline)¦", "false", "a test would take 100 s"),
    open("call.notices().step(text); } ¦thread::sleep(pause)¦", "{}", "only a clock can tell"),
    found("self.held.locked.read(¦self.held.run.is_saved()¦)", "false", "tokens recovery::an_editor_that_empties_the_file_during"),
    found(".map(|it| ¦self.held.keep_damaged(it)¦)", "{ let _ = it; Ok(()) }", "tokens stopped::tokens_that_are_pasted"),
    found("if ¦told == Told::TooSlow¦", "false", "vault refreshes::a_vault_that_is_always_too_slow"),
    found("¦drop(self.journal.as_ref().map(|it| it.note(error, in_doubt, None)))¦", "{}", "tokens rotation::whoever_waited"),
    found("¦self.end_claim(Ending::Failed(error))¦", "{}", "vault refreshes::whoever_waited"),
    found("if told == Told::Lost { lost } else { last }", "last", "vault refreshes::whoever_waited"),
    found("let _ = ¦journal.note(&error, false, Some(token))¦", "Ok::<(), io::Error>(())", "calls responses::an_access_token_of_no_use"),
    found("Ok(None) => ¦Came::LockLost¦", "Came::Done", "vault refreshes::sixty_four_programs"),
    open("if ¦Instant::now() < self.until(deadline)¦", "true", "a test would take 100 s"),
    open("*at + attempts::SECOND", "*at + attempts::FIRST", "a test would take 100 s"),
    found("if ¦self.start.is_none()¦", "true", "tokens recovery::a_lock_file_that_is_deleted_does_not"),
    found("let in_doubt = ¦self.held.run.is_in_doubt()¦", "false", "vault refreshes::a_doubt_of_the_folders_days"),
    found("self.claimed.map(|claimed| claimed.elapsed())", "self.claimed.map(|_| (Duration::ZERO, Some(Duration::ZERO)))", "vault signals::a_holder_that_stops_before_the_send"),
    found("let is_ending = ¦SignalGuard::is_pending()¦; let mut", "false", "vault signals::a_signal_before_the_send"),
    found("*guard = ¦holds_signals.then(SignalGuard::new)¦", "None", "tokens signals::the_pair_is_saved"),
    found("¦doing == Do::Go¦", "true", "vault signals::a_holder_that_stops_before_the_send"),
    same("next(Came::Arrived); let is_saved = journal.is_some_and(|journal| journal.record(body).is_ok()); next(if is_saved { Came::Done } else { Came::Failed }); TokenResponse::parse(body, time, &settings.hosts)", "let parsed = TokenResponse::parse(body, time, &settings.hosts); next(Came::Arrived); let is_saved = journal.is_some_and(|journal| journal.record(body).is_ok()); next(if is_saved { Came::Done } else { Came::Failed }); parsed", "no bytes make the parser end the program, as tokens::credentials shows; the order is for the day on which some do"),
    found("journal.is_some_and(|journal| ¦journal.record(body).is_ok()¦)", "{ let _ = journal; true }", "tokens recovery"),
    same("self.lost.take().map_or_else(Instant::now, |(at, _)| at)", "Instant::now()", "after a second response that is lost, nothing is sent"),
    found("if ¦self.found.content.digest() == Some(pair.refresh_token.digest())¦", "true", "tokens recovery::a_refusal_of_a_pair"),
    found("in_doubt.then_some(\"an earlier run was interrupted, or lost the response\")", "None", "vault refreshes::a_doubt_of_the_folders_days"),
    found("if now.pair.is_ok() { now } else { &self.found.content }", "&self.found.content", "tokens rotation::a_field_that_is_added"),
    found("match ¦self.held.locked.replace(&now.stored.raw, &new, is_only_copy, unused.as_ref())¦", "Ok(Replaced::Done)", "tokens rotation::forty_eight"),
    found("&new, is_only_copy, ¦unused.as_ref()¦", "None", "vault refreshes::an_access_token_of_no_use"),
    found("match ¦locked.save_aside(self.journal.as_ref(), &received.body)¦", "Ok(received.place.clone())", "crash what_neither_the_journal"),
    // What is sealed stays sealed, and its key is asked for outside the lock.
    same("Do::FetchKeys => { met.guard = None; ¦self.opener.fetch()¦", "{}", "the read that follows asks for them"),
    found("let new = ¦keeping.keep(Kind::Creds, &new).raw¦", "Keeping::PLAIN.keep(Kind::Creds, &new).raw", "tokens sealed::a_refresh"),
    same("if ¦self.opener.wants_keys()¦", "false", "under the lock it is found to be missing as well"),
    found("_ if ¦self.call.opener.wants_keys()¦", "false", "tokens sealed::plain_and_sealed"),
    found("filter(|it| ¦!it.has_sealed()¦ &&", "true", "tokens sealed::a_pair_in_the_journal"),
    found("HomeKind::File => ¦in_home.keeping().or(keeping)¦", "in_home.keeping().clone()", "tokens sealed::plain_and_sealed"),
    found("let keeping = ¦base.stored.keeping().or(stored.keeping())¦", "base.stored.keeping().clone()", "tokens sealed::what_is_set_aside"),
];

#[rustfmt::skip]
const FINDINGS: &[Mutant] = &[
    found("(Some(_), None) if ¦saved.closed.is_some()¦", "false", "tokens sealed::a_journal_that_stays_closed"),
];

#[rustfmt::skip]
const TOLD: &[Mutant] = &[
    found("is_kept(&saved, in_home, spent) && is_meant(&saved)", "is_meant(&saved)", "tokens recovery::a_used_pair"),
    found("is_kept(&saved, in_home, spent) && ¦is_meant(&saved)¦", "true", "tokens recovery::a_pair_that_was_tried_in_vain"),
    found("¦warn(Error::saved_in_journal(saved, &at, source))¦", "drop((saved, at, source))", "vault refreshes::a_pair_that_the_vault_does_not_take"),
    found("match (¦found.saved.unreadable.pop()¦, found.content.pair)", "None::<(PathBuf, FileProblem)>", "tokens recovery::a_saved_pair_that_cannot_be_read"),
    found("Some(says) if ¦says.in_doubt¦", "says.in_doubt && false", "tokens recovery::an_earlier_doubt"),
];

#[rustfmt::skip]
const REFRESH: &[Mutant] = &[
    open("connect: ¦Duration::from_secs(10)¦", "Duration::from_secs(100)", "it takes an address that nobody answers from"),
    found("Err(_) if ¦form.is_withheld¦", "false", "vault signals::a_holder_that_stops_before_the_send"),
    found("Err(reason) if ¦form.sent == 0¦", "false", "vault signals::a_signal_ends_a_run"),
    found("form.sent == ¦0¦", "form.sent", "tokens rotation::every_fault"),
    found("return match ¦response_in(&kept.bytes())¦", "None::<(u16, Zeroizing<Vec<u8>>)>", "calls responses"),
    found("&& let Some((_, kept)) = ¦response_in(&kept.bytes())¦", "None", "calls responses"),
    found("if ¦status == StatusCode::TOO_MANY_REQUESTS¦", "false", "tokens rotation::every_fault"),
    found("Some(\"invalid_grant\") if ¦matches!(status, 400 | 401)¦", "true", "calls responses::another_status"),
    found("Some(error) if ¦error.code == \"invalid_grant\"¦", "false", "calls responses"),
    found("if ¦length >= LARGEST¦", "false", "lib rotation::refresh"),
    found("Ok(_) if ¦is_whole_object(&body)¦", "false", "calls responses"),
    found("self.is_withheld = ¦!(self.before)()¦", "{ (self.before)(); false }", "vault signals::a_holder_that_stops_before_the_send"),
];

#[rustfmt::skip]
const VAULT: &[Mutant] = &[
    found("Ok(()) if ¦missing.is_certain()¦", "true", "vault refreshes::a_node_that_was_just_unsealed"),
    found("Err(problem) if ¦may_pass(&problem, start) && start.elapsed() < patience¦", "false", "vault refreshes::a_fault_of_a_read"),
    same("if ¦is_newer(known.0, secret.number) || is_made_anew(known, secret.version())¦", "true", "a write to an older version fails, and is made again"),
    found("¦is_made_anew(known, secret.version())¦", "false", "vault refreshes::a_secret_that_is_made_anew"),
    found("if ¦*number == secret.number && *old == new¦", "true", "vault refreshes::a_claim_that_is_made_again"),
    same("*number == secret.number && ¦*old == new¦", "true", "a version has one claim"),
    found("is_made_anew(before, seen) || newest == 0 && base > 0 && missing.is_certain()", "newest == 0 && base > 0 && missing.is_certain()", "vault refreshes::a_secret_that_is_made_anew"),
    same("¦self.is_current.set(true)¦", "{}", "it spares a request"),
    found("!may_pass(&problem, start) || ¦SignalGuard::is_pending()¦", "false", "vault signals::a_signal_ends_a_claim"),
    found("Purpose::Commit => ¦false¦", "true", "vault refreshes::a_fault_of_a_commit"),
    found("is_over || ¦start.elapsed() >= patience¦", "true", "vault refreshes::a_fault_of_a_claim"),
    found("seen.number == number || is_ours(&seen)", "seen.number == number", "vault refreshes::a_claim_whose_version_is_gone"),
    same("¦seen.number == number¦ ||", "false", "it spares a request"),
    open("Ok(Seen::Nothing) => Some(false), Err(_) => ¦None¦", "Some(false)", "it takes another write, and a fault of a read, right behind a write that was not acknowledged"),
    found("Ok(Seen::Nothing) => ¦Some(false)¦", "None", "vault refreshes::a_claim_whose_version_is_gone"),
    found("pairs.any(|pair| ¦pair.spent == token && pair.next != token¦)", "false", "vault refreshes::a_pair_that_the_vault_does_not_take"),
    found("filter(|note| ¦note.token == token¦)", "true", "vault refreshes::a_refusal_ends_with_a_paste"),
    found("¦claim.is_of_refresh(&note.nonce)¦", "true", "vault refreshes::a_note_on_an_earlier_refresh"),
    found("seen.now().abs_diff(note.time)", "u64::try_from(seen.now() - note.time).unwrap_or(u64::MAX)", "vault refreshes::a_refusal_counts"),
    found("self.files.can_be_made() && !self.files.is_journal_foreign()", "!self.files.is_journal_foreign()", "vault refreshes::a_read_only_folder"),
    found("self.files.can_be_made() && ¦!self.files.is_journal_foreign()¦", "true", "vault refreshes::a_journal_of_another_user"),
    same("if ¦!is_first && !self.holds_claim()¦", "false", "a write to the version that was seen fails"),
    found("nonce: ¦format!(\"{}.{number}\", self.refresh)¦", "format!(\"{}.1\", self.refresh)", "vault refreshes::a_token_is_sent_again"),
    found("&& ¦!self.holds_claim()¦ { // It may", "true", "vault refreshes::a_vault_that_is_always_too_slow"),
    found("notes.fail( sent, seen.now(), &nobody, &format!(\"{} was interrupted\", nobody.holder), )", "drop(nobody)", "vault refreshes::a_holder_that_is_killed_after_the_send"),
    found("if ¦!matches!(problem, VaultProblem::Denied(_))¦", "false", "vault refreshes::a_claim_that_may_be_applied_later"),
    found("for _ in ¦0..2¦", "0..1", "vault refreshes::a_note_outlives"),
    found("Some(claim) if ¦own.contains(claim)¦", "true", "vault signals::a_signal_ends_a_run_that"),
    found("None if ¦doubtful.is_some() && seen.fields.is_ok()¦", "false", "vault refreshes::a_claim_that_may_be_applied_later"),
    found("¦notes.claim = None¦", "{}", "vault refreshes::a_claim_is_let_go"),
    found("¦change(&mut notes, claim, seen.now())¦", "{}", "vault refreshes::whoever_waited"),
    found("self.lock.as_ref().map_or(Ok(true), Lock::is_named)", "Ok(true)", "vault refreshes::a_journal_stays_whose_pair"),
    found("!self.store.is_current.take() && !self.holds_claim()", "!self.holds_claim()", "vault refreshes::sixteen_programs"),
    found("!self.store.is_current.take() && ¦!self.holds_claim()¦", "true", "vault refreshes::sixty_four_threads"),
    same("if ¦*store.seen.borrow().bytes() != *in_home.stored.raw¦", "false", "nothing is read since it was judged"),
    found("if ¦store.holder() == Holder::Alive¦", "false", "vault refreshes::sixty_four_programs"),
    found("¦store.is_current.set(noted.is_some())¦", "{}", "vault refreshes::sixteen_programs"),
    found("Ending::Failed(error) if ¦error.is_refusal()¦", "false", "vault refreshes::sixteen_programs"),
    found("Ending::Failed(error) if ¦error.leaves_doubt()¦", "false", "vault refreshes::whoever_waited"),
    same("if ¦*seen.bytes() != *old¦", "false", "nothing is read since it was looked at, and the write names its version"),
    found("[\"access_token\", \"refresh_token\"].iter().all(|&name| found.get(name) == fields.get(name))", "true", "vault refreshes::tokens_that_are_pasted"),
    open("if is_only_copy { COMMITTING_ONLY_COPY } else { COMMITTING }", "COMMITTING", "a test would take 100 s"),
    found("take it away. ¦self.claim.take()¦;", "None::<Claim>", "vault refreshes::the_claim_of_a_pair_that_the_vault_has_not_taken"),
    same("fn drop(&mut self) { ¦self.let_go(|_, _, _| {})¦", "{}", "each end of a token lets go of its claim; this is for a panic"),
    found("VaultProblem::RedirectToLeader(_) => ¦start.elapsed() < bounded(READING)¦", "false", "vault refreshes::a_fault_of_a_claim"),
];

#[rustfmt::skip]
const CLIENT: &[Mutant] = &[
    found("json!({ \"options\": { \"cas\": base }, \"data\": fields })", "{ let _ = base; json!({ \"data\": fields }) }", "vault refreshes::sixty_four_programs"),
];

#[rustfmt::skip]
const DOCUMENT: &[Mutant] = &[
    found("refresh(&self.nonce) == refresh(nonce)", "self.nonce == nonce", "lib store::vault::document"),
    found("note.token == *token && ¦!note.is_of_unused()¦", "true", "vault refreshes::an_access_token_of_no_use"),
    found("¦note.token == *token¦", "true", "vault refreshes::a_doubt_ends_with_a_paste"),
    found("self.now.saturating_add(since)", "{ let _ = since; self.now }", "lib store::vault::document"),
    found("if ¦number.parse() != Ok(self.number)¦", "false", "lib store::vault::document"),
    found("¦self.number + 1¦", "self.number", "lib store::vault::document"),
];

#[rustfmt::skip]
const PROTOCOL: &[Mutant] = &[
    found("Some(newest) if ¦newest > base¦", "newest >= base", "lib store::vault::protocol"),
    found("None => ¦Settled::Unknown¦", "Settled::Superseded", "lib store::vault::protocol"),
    found("read == 0 || read >= known", "read >= known", "lib store::vault::protocol"),
    found("read == 0 || ¦read >= known¦", "read > known", "lib store::vault::protocol"),
    same("¦read.0 > 0¦ &&", "true", "no secret was written at no time"),
    found("¦read.0 <= known.0¦ && is_later", "true", "lib store::vault::protocol"),
    found("&& ¦is_later¦", "{ let _ = is_later; true }", "lib store::vault::protocol"),
    found("true if ¦unchanged >= takeover¦", "unchanged > takeover", "lib store::vault::protocol"),
    found("holder != Holder::Alive || is_known_as_used", "holder != Holder::Alive", "lib store::vault::protocol"),
    found("¦holder != Holder::Alive¦ || is_known", "holder == Holder::None", "lib store::vault::protocol"),
    found("¦has_failed¦ || claim.is_some()", "has_failed && false", "lib store::vault::protocol"),
    found("claim.is_some() && ¦claim != ours¦", "true", "lib store::vault::protocol"),
    found("age.is_some_and(|age| ¦age < seconds¦)", "age <= seconds", "lib store::vault::protocol"),
    found("if ¦counts(refused, REFUSAL_COUNTS)¦", "refused.is_some()", "lib store::vault::protocol"),
    found("¦monotonic <= GATE¦ &&", "true", "lib store::vault::protocol"),
    found("wall.is_some_and(|wall| wall <= GATE)", "wall.is_none_or(|wall| wall <= GATE)", "lib store::vault::protocol"),
];

#[rustfmt::skip]
const MACHINE: &[Mutant] = &[
    found("filter(|_| ¦self.access.is_some()¦)", "true", "lib rotation::machine"),
    found("if ¦!self.is_untidy¦", "true", "lib rotation::machine"),
    found("in_doubt: ¦state.spent.newest(token).is_some()¦", "false", "lib rotation::machine"),
    found("¦if seen.is_damaged { RESTORE } else { &RESTORE[1..] }¦", "&RESTORE[1..]", "lib rotation::tables"),
    found("if ¦note.unused == Some(pair.next)¦", "false", "lib rotation::machine"),
    found("(Recovery::OlderCopy, _) if ¦self.bounds.home == HomeKind::Vault¦", "false", "vault refreshes::a_standby_that_lags_behind"),
    found("&& ¦refused.token == token¦", "true", "lib rotation::machine"),
    found("&& ¦prior.is_noted¦", "true", "lib rotation::machine"),
    found("&& ¦is_news(&note, self.has_waited, seen.running_for)¦", "false", "lib rotation::tables"),
    same("¦self.refused = None¦;", "{}", "a token that was refused is refused again, should it come back"),
    found("let in_doubt = ¦prior.in_doubt || seen.in_doubt¦", "seen.in_doubt", "tokens recovery::an_earlier_doubt"),
    found("prior.in_doubt || ¦seen.in_doubt¦", "false", "vault refreshes::a_holder_that_is_killed_after_the_send"),
    found("¦may_replace(pair, seen.account)¦", "true", "tokens recovery::another_account"),
    found("refused.left.unwrap_or(u32::MAX)", "u32::MAX", "lib rotation::machine"),
    found("if self.bounds.home == HomeKind::Vault { REFUSE } else { &[] }", "&[]", "vault refreshes::sixteen_programs"),
    found("Some(pair.into()), ¦true¦, true", "false", "tokens recovery::an_earlier_doubt"),
    found("(Do::Begin { .. }, Came::Failed) if ¦is_file¦", "false", "crash a_disk_that_is_full"),
    found("(Do::Claim(_), Came::Failed) if ¦*late == 0¦", "true", "lib rotation::machine"),
    found("None if ¦!*holds_signals¦", "false", "tokens signals::the_pair_is_saved"),
    found("Some(_) if ¦is_ending¦", "false", "lib rotation::machine"),
    found("if ¦!may_send(monotonic, wall)¦", "false", "lib rotation::machine"),
    found("*late > MOST_LATE", "*late >= MOST_LATE", "lib rotation::machine"),
    found("_ => { ¦*late = 0¦; Do::Go", "{}", "lib rotation::machine"),
    found("match ¦is_file && using.progress.holds_signals && !using.is_lost()¦", "false", "tokens signals::while_a_server_is_busy"),
    found("is_file && using.progress.holds_signals && ¦!using.is_lost()¦", "true", "tokens signals::after_a_lost_response"),
    found("if ¦aside.is_none()¦", "true", "lib rotation::machine"),
    found("using.progress.is_saved = ¦came == Came::Done¦", "true", "lib rotation::machine"),
    found("if using.progress.is_saved { GIVE_WAY } else { LEAVE }", "GIVE_WAY", "lib rotation::machine"),
    found("if self.is_lost() { Told::Lost } else { told }", "told", "lib rotation::machine"),
    found("if self.is_lost() { self.fail(Told::Lost) } else { self.leave(Then::LetGo) }", "self.leave(Then::LetGo)", "lib rotation::machine"),
    found("(token, false) if ¦self.bounds.home == HomeKind::File¦", "true", "vault refreshes::an_access_token_of_no_use"),
    found("keeps_journal: ¦self.using?.keeps_journal¦", "false", "vault refreshes::a_doubt_of_the_folders_days"),
    found("Some(most) if ¦progress.looks + 1 >= most¦", "false", "lib rotation::machine"),
    found("Some(most) if ¦rounds >= most¦", "false", "lib rotation::machine"),
    found("refused.map(|refused| Refused { left: None, ..refused })", "None", "lib rotation::machine"),
];

#[rustfmt::skip]
const RECOVERY: &[Mutant] = &[
    found("match ¦is_unused(creds, &state.journal)¦", "false", "lib rotation::recovery"),
    same("pair.next == creds && ¦pair.spent != creds¦", "true", "the next arm decides the same"),
    found("Some(pair) if ¦pair.spent == creds¦", "false", "lib rotation::recovery"),
    found("None if ¦is_unused(creds, &state.journal)¦", "false", "lib rotation::recovery"),
    found("Some(pair) if ¦pair.next == newest¦", "true", "lib rotation::recovery"),
    found("older_copy: ¦pair.spent != creds¦", "false", "lib rotation::recovery"),
    found("rfind(|pair| ¦pair.next == newest¦)", "true", "lib rotation::recovery"),
    found("(0..UNUSED_COUNTS).contains(&note.age)", "note.age < UNUSED_COUNTS", "lib rotation::recovery"),
    found("(¦0..UNUSED_COUNTS¦)", "0..UNUSED_COUNTS + 1", "lib rotation::recovery"),
    found("¦note.unused.as_ref() == Some(&creds)¦ && counts", "note.unused.is_some()", "lib rotation::recovery"),
    found("spent.newest(pair.next).is_none()", "true", "lib rotation::recovery"),
    found("is_current(pair, spent) && ¦Some(pair.next) != creds¦", "true", "lib rotation::recovery"),
    found("¦account.is_some()¦ && pair.account", "true", "lib rotation::recovery"),
    found("¦pair.account == account¦", "true", "lib rotation::recovery"),
    found("¦has_waited¦ &&", "true", "lib rotation::recovery"),
    found("&& ¦note.age <= running_for¦", "true", "lib rotation::recovery"),
    found("&& ¦note.age < FAILURE_COUNTS¦", "note.age <= FAILURE_COUNTS", "lib rotation::recovery"),
    found("state.set_aside.iter().rposition(|pair| current(&pair))", "state.set_aside.iter().position(|pair| current(&pair))", "lib rotation::recovery"),
    found("if ¦state.owner.is_some_and(|owner| !may_replace(&newest, owner))¦", "false", "lib rotation::recovery"),
    found("match ¦others.all(|pair| may_replace(pair, newest.account))¦", "true", "lib rotation::recovery"),
    found("note.as_ref().is_none_or(|note| note.in_doubt)", "note.as_ref().is_some_and(|note| note.in_doubt)", "tokens recovery::a_lock_file_that_is_deleted_does_not"),
    found("note.is_some() && ¦spent.as_ref().is_none_or(|spent| *spent == creds)¦", "true", "lib rotation::machine"),
    found("Now::Token(token) if ¦token == before¦", "true", "lib rotation::recovery"),
    found("Some(None) => ¦Recovery::SetJournalAside¦", "Recovery::Nothing(PriorAttempt::default())", "tokens sealed::a_journal_that_stays_closed"),
    found("_ => ¦Recovery::Closed¦", "Recovery::Nothing(PriorAttempt::default())", "tokens sealed::a_journal_that_stays_closed"),
    same("return match journal { Some(_) => ¦Recovery::SetJournalAside¦, None => Recovery::Closed", "Recovery::Closed", "the next look stops as well"),
    found("None => ¦Recovery::Closed¦", "Recovery::OlderCopy", "tokens sealed::a_journal_that_stays_closed"),
    found("match ¦state.creds.map(|creds| state.spent.newest(creds))¦", "state.creds.map(|_| None::<(Newest<N>, crate::tokens::claims::LocalTime)>)", "tokens sealed::a_journal_that_stays_closed"),
];

#[rustfmt::skip]
const ATTEMPTS: &[Mutant] = &[
    found("CONNECT_PAUSES.get(usize::from(self.connects)).copied()", "CONNECT_PAUSES.first().copied()", "lib rotation::attempts"),
    found("!std::mem::replace(&mut self.has_waited, true)", "true", "lib rotation::attempts"),
    found("may_wait && ¦pause <= LONGEST_WAIT¦", "true", "lib rotation::attempts"),
    found("Outcome::Error => { ¦self.is_lost = true¦", "{}", "lib rotation::attempts"),
    found("wait.unwrap_or(DOUBT_PAUSE).max(DOUBT_PAUSE)", "wait.unwrap_or(DOUBT_PAUSE)", "lib rotation::attempts"),
    found("!std::mem::replace(&mut self.is_lost, true)", "{ self.is_lost = true; true }", "lib rotation::attempts"),
    found("is_first && ¦pause <= LONGEST_WAIT¦", "true", "lib rotation::attempts"),
];

/// Decides which mutant is in force; in the copy alone.
const SWITCH: &str = r#"
pub(crate) fn is_mutant(number: usize) -> bool {
    static NUMBER: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("MUTANT").ok()?.parse().ok());
    *NUMBER == Some(number)
}
"#;

/// All mutants, each with its file. Their numbers are their places.
fn all() -> impl Iterator<Item = (usize, &'static str, &'static Mutant)> {
    let all = MUTANTS.iter().flat_map(|&(file, mutants)| mutants.iter().map(move |it| (file, it)));
    all.enumerate().map(|(number, (file, mutant))| (number, file, mutant))
}

/// What is left of a text behind these words, with whatever space between them.
fn behind<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    words.split_whitespace().try_fold(text, |text, word| text.trim_start().strip_prefix(word))
}

/// Where the expression is in a text, each time.
fn places(text: &str, was: &str) -> Vec<Range<usize>> {
    let mut parts = was.split('¦');
    let (before, it, after) = match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(it), Some(after)) => (before, it, after),
        _ => ("", was, ""),
    };
    let first = was.trim_start_matches('¦').split(['¦', ' ']).next().unwrap();
    let places = text.match_indices(first).filter_map(|(start, _)| {
        let from = behind(&text[start..], before)?.trim_start();
        let to = behind(from, it)?;
        behind(to, after)?;
        Some(text.len() - from.len()..text.len() - to.len())
    });
    places.collect()
}

/// Builds all mutants into the sources below `src`.
fn mutate(src: &Path) {
    let (mut texts, mut missing) = (BTreeMap::new(), Vec::new());
    for (number, file, Mutant { was, .. }) in all() {
        let read = || fs::read_to_string(src.join(file)).unwrap();
        let text: &mut String = texts.entry(file).or_insert_with(read);
        let [place] = &places(text, was)[..] else {
            missing.push((file, was));
            continue;
        };
        // What takes its place comes last: another may be within.
        let both = format!("(if crate::is_mutant({number}) {{ @{number}@ }} else {{ ");
        text.insert_str(place.end, " })");
        text.insert_str(place.start, &both);
    }
    assert!(missing.is_empty(), "not there, or not once: {missing:#?}");
    for (number, file, Mutant { now, .. }) in all() {
        let text = texts.get_mut(file).unwrap();
        *text = text.replace(&format!("@{number}@"), now);
    }
    texts.insert("lib.rs", fs::read_to_string(src.join("lib.rs")).unwrap() + SWITCH);
    for (file, text) in texts {
        fs::write(src.join(file), text).unwrap();
    }
}

/// A test in the copy, for so many seconds at the most: a mutant may run for ever.
fn test_in(copy: &Path, test: &str, seconds: &str) -> Command {
    let mut command = acceptance::clean("timeout");
    command.args(["--kill-after", "5", seconds, env!("CARGO"), "test", "--package", "aac-auth"]);
    command.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
    let (binary, names) = test.split_once(' ').unwrap();
    match binary {
        "lib" => command.arg("--lib"),
        binary => command.args(["--test", binary]),
    };
    command.arg("--").args(names.split(' ')).args(["--nocapture", "--test-threads", "4"]);
    if binary == "crash" {
        command.arg("--include-ignored");
    }
    command
}

#[test]
fn each_has_its_place_in_the_source() {
    let folder = tempfile::tempdir().unwrap();
    acceptance::copy_of_the_repository(folder.path());
    mutate(&folder.path().join("crates/aac-auth/src"));
}

#[test]
#[ignore = "builds a copy of the repository: see above"]
fn each_is_found_by_its_test() {
    if !acceptance::have("timeout") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path();
    acceptance::copy_of_the_repository(copy);
    mutate(&copy.join("crates/aac-auth/src"));
    // These have what all others run built: the tests, the programs and the examples.
    for test in ["lib rotation::attempts", "calls a_fresh_token_makes", "vault a_fresh_token_costs"]
    {
        assert!(test_in(copy, test, "1200").status().unwrap().success());
    }

    let tests = all().filter_map(|(.., mutant)| match mutant.end {
        End::FoundBy(test) => Some(test),
        _ => None,
    });
    let mut skipped = BTreeSet::new();
    for test in tests.collect::<BTreeSet<_>>() {
        let run = test_in(copy, test, "120").output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "without a mutant: {test}\n{said}");
        assert!(!said.contains("running 0 tests"), "there is no {test}");
        if said.contains("skipped: ") {
            skipped.insert(test);
        }
    }
    let mut missed = Vec::new();
    println!("| file | was | is | what comes of it |\n|---|---|---|---|");
    for (number, file, Mutant { was, now, end }) in all() {
        let what = match end {
            End::Same(why) => format!("nothing: {why}"),
            End::Open(why) => format!("not found: {why}"),
            End::FoundBy(test) if skipped.contains(test) => format!("skipped: {test}"),
            End::FoundBy(test) => {
                let run =
                    test_in(copy, test, "120").env("MUTANT", number.to_string()).output().unwrap();
                if run.status.success() {
                    missed.push((file, was, now));
                }
                format!("{}: {test}", if run.status.success() { "**NOT FOUND**" } else { "found" })
            }
        };
        println!("| {file} | `{was}` | `{now}` | {what} |");
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
