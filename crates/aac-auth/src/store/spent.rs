//! creds.json.spent: which refresh tokens have been used, and which one came of each.
//!
//! A copy of creds.json that is restored from a backup holds a used token, and to send that may end the
//! whole family (RFC 9700 §4.14.2). Each line links the SHA-256 of a used token to that of its
//! successor, so that any older copy leads to the newest pair that this machine knows. It holds no
//! token. A token whose response was lost has no line, so it may still be sent once more.

use crate::config::text;
use crate::error::FileProblem;
use crate::platform::{self, Flaw, Unfit};
use crate::store::StoreError;
use crate::store::folder::{Files, at, open_single, reading};
use crate::tokens::claims::LocalTime;
use crate::tokens::secret::Digest;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// So many lines at the most; two weeks of tokens that are refreshed every five minutes. Half of them
/// stay when there are more.
const MOST_LINES: usize = 4096;

/// A refresh token that was used, and its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Link<N = Digest> {
    pub(crate) spent: N,
    pub(crate) next: N,
    /// When it was used, by the local clock.
    pub(crate) time: LocalTime,
}

/// The links that are known, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SpentTokens<N = Digest> {
    links: Vec<Link<N>>,
    /// Tokens that were used, whose successor stays closed, and when.
    unopened: Vec<(N, LocalTime)>,
}

/// What came of a token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest<N> {
    Token(N),
    /// It is in a place that cannot be opened.
    Unopened,
}

impl<N> Default for SpentTokens<N> {
    fn default() -> Self {
        Self { links: Vec::new(), unopened: Vec::new() }
    }
}

impl SpentTokens {
    /// Reads the record; what is damaged in it counts as absent.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub(crate) fn read(files: &Files) -> Result<Self, FileProblem> {
        // Of another user's, too: it can only keep tokens from being sent.
        let open = || open_single(&files.spent, &reading());
        let file = match platform::patiently(open).map_err(text::unreadable) {
            Ok(file) => file,
            Err(FileProblem::Missing) => return Ok(Self::default()),
            Err(problem) => return Err(problem),
        };
        let bytes = text::read_open(&file)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Self { links: text.lines().filter_map(parse).collect(), unopened: Vec::new() })
    }

    /// Writes a link to the record, durably. Its successor must be on the disk already.
    pub(crate) fn record(files: &Files, link: &Link) -> Result<(), StoreError> {
        if link.spent == link.next {
            return Ok(());
        }
        let path = &files.spent;
        let read = Self::read(files);
        let is_readable = read.is_ok();
        let known = read.unwrap_or_default();
        if known.links.contains(link) {
            return files.sync(path);
        }
        let append = || files.open(path, File::options().read(true).append(true));
        let (mut file, is_new) = match platform::patiently(append) {
            Ok(file) if known.links.len() >= MOST_LINES => {
                // Where a rename is not POSIX's, an open file cannot be replaced.
                drop(file);
                return known.write(MOST_LINES / 2, link, files);
            }
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (files.create(path)?, true),
            // To write it is its owner's.
            Err(error)
                if is_readable
                    && Unfit::of(&error).is_some_and(|unfit| unfit.flaw == Flaw::Foreign) =>
            {
                return known.write(0, link, files);
            }
            Err(error) => return Err(at(path)(error)),
        };
        let mut write = || {
            // A line that was cut off must not swallow the next one.
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(-1)).is_ok() {
                file.read_exact(&mut last)?;
            }
            let end = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{end}{}", line(link)).as_bytes())?;
            platform::sync(&file)
        };
        write().map_err(at(path))?;
        if is_new { files.sync_folder() } else { Ok(()) }
    }

    /// Writes the record anew: the links from the `first` on, and this one.
    fn write(&self, first: usize, link: &Link, files: &Files) -> Result<(), StoreError> {
        let kept = self.links[first..].iter().chain([link]);
        let text = kept.fold(String::new(), |text, link| text + &line(link));
        files.replace_beside(&files.spent, text.as_bytes())
    }
}

impl<N: Copy + PartialEq> SpentTokens<N> {
    /// Adds what is known from elsewhere. A token that was answered by itself has not been used up.
    pub(crate) fn add(&mut self, link: Link<N>) {
        if link.spent != link.next && !self.links.contains(&link) {
            self.links.push(link);
        }
    }

    /// Adds a token that was used for a pair which stays closed.
    pub(crate) fn add_unopened(&mut self, spent: N, time: LocalTime) {
        self.unopened.push((spent, time));
    }

    /// The newest successor of a token, and when the token was used; none where it is not known to
    /// have been.
    pub(crate) fn newest(&self, token: N) -> Option<(Newest<N>, LocalTime)> {
        let next = |token: N| self.links.iter().rev().find(|link| link.spent == token);
        let unopened = |token: N| self.unopened.iter().find(|(spent, _)| *spent == token);
        let Some(first) = next(token) else {
            return unopened(token).map(|(_, time)| (Newest::Unopened, *time));
        };
        let mut newest = first;
        // No longer than the record, should it lead in a circle.
        for _ in 0..self.links.len() {
            match next(newest.next) {
                Some(link) => newest = link,
                None => break,
            }
        }
        let last = match unopened(newest.spent).or(unopened(newest.next)) {
            Some(_) => Newest::Unopened,
            None => Newest::Token(newest.next),
        };
        Some((last, first.time))
    }

    /// Since when a token is known to have been used.
    pub(crate) fn used_since(&self, token: N) -> Option<LocalTime> {
        self.newest(token).map(|(_, time)| time)
    }
}

fn line(Link { spent, next, time }: &Link) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{spent} {next} {}", time.0);
    text
}

fn parse(line: &str) -> Option<Link> {
    let mut fields = line.split(' ');
    let spent = Digest::parse(fields.next()?)?;
    let next = Digest::parse(fields.next()?)?;
    let time = LocalTime(fields.next()?.parse().ok()?);
    Some(Link { spent, next, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn link(spent: &str, next: &str) -> Link {
        let digest = |text: &str| Digest::of(text.as_bytes());
        Link { spent: digest(spent), next: digest(next), time: LocalTime(7) }
    }

    fn newest(record: &SpentTokens, token: &str) -> Option<Digest> {
        match record.newest(Digest::of(token.as_bytes()))?.0 {
            Newest::Token(newest) => Some(newest),
            Newest::Unopened => Some(Digest::of(b"unopened")),
        }
    }

    #[test]
    fn any_older_copy_leads_to_the_newest_pair() {
        let mut record = SpentTokens::default();
        for (spent, next) in [("a", "b"), ("b", "c"), ("c", "d"), ("x", "y"), ("z", "z")] {
            record.add(link(spent, next));
        }
        for token in ["a", "b", "c"] {
            assert_eq!(newest(&record, token), Some(Digest::of(b"d")));
        }
        for token in ["d", "y", "z", "other"] {
            assert_eq!(newest(&record, token), None, "{token}");
        }
        record.add(link("x", "w"));
        assert_eq!(newest(&record, "x"), Some(Digest::of(b"w")), "what came last");
        // Whether it was used for the pair that stays closed, or leads to one that was.
        for (spent, leads) in [("c", &["a", "c"][..]), ("d", &["a", "c", "d"]), ("w", &["x", "w"])]
        {
            let mut record = record.clone();
            record.add_unopened(Digest::of(spent.as_bytes()), LocalTime(7));
            for token in leads {
                assert_eq!(newest(&record, token), Some(Digest::of(b"unopened")), "{token}");
            }
        }
        record.add(link("d", "a"));
        assert!(newest(&record, "a").is_some(), "a circle has an end");
    }

    #[test]
    fn the_record_is_bounded_and_survives_damage() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        for _ in 0..2 {
            SpentTokens::record(&files, &link("p", "q")).unwrap();
        }
        assert_eq!(
            SpentTokens::read(&files).unwrap().links,
            [link("p", "q")],
            "it is there already"
        );
        for number in 0..MOST_LINES + 10 {
            let link = link(&number.to_string(), &(number + 1).to_string());
            // Not one by one: that would take a sync for each.
            match number {
                4000..4010 | 4096.. => SpentTokens::record(&files, &link).unwrap(),
                _ => {
                    let mut file =
                        File::options().append(true).create(true).open(&files.spent).unwrap();
                    file.write_all(line(&link).as_bytes()).unwrap();
                }
            }
        }
        let record = SpentTokens::read(&files).unwrap();
        assert!(record.links.len() < MOST_LINES / 2 + 20, "{}", record.links.len());
        let last = Digest::of((MOST_LINES + 10).to_string().as_bytes());
        assert_eq!(newest(&record, "4000"), Some(last));
        assert_eq!(newest(&record, "7"), None, "forgotten");

        let mut bytes = fs::read(&files.spent).unwrap();
        bytes.truncate(bytes.len() - 30);
        bytes.extend_from_slice(b"\xff\xfejunk\0");
        fs::write(&files.spent, bytes).unwrap();
        SpentTokens::record(&files, &link("n", "m")).unwrap();
        let record = SpentTokens::read(&files).unwrap();
        assert_eq!(newest(&record, "n"), Some(Digest::of(b"m")));
        assert!(newest(&record, "4000").is_some());
    }
}
