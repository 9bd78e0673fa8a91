//! An exported package: a ZIP archive of any size, made while it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use axum::body::Bytes;
use crc32fast::Hasher;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde_json::Value;

/// The entry that says what the package is.
const PLAN: &str = "plan.json";
/// The entry that makes the package as large as it is to be.
const PADDING: &str = "padding.bin";

/// What the padding repeats. Longer than the window of deflate, which therefore cannot shorten it.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        // Xorshift: bytes that look random, and are the same every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BLOCK_SIZE / 8).flatten().collect()
});
const BLOCK_SIZE: usize = 256 * 1024;

/// The body of a package.
#[derive(Debug)]
pub(crate) struct Package {
    /// What comes before the padding.
    head: Bytes,
    /// How much of the padding is still to come.
    padding: u64,
    /// What comes after it.
    tail: Bytes,
}

impl Package {
    /// A package with this plan, of so many bytes, or a few more if it has to.
    pub(crate) fn new(plan: &Value, size: u64) -> Self {
        let plan = plan.to_string();
        let (head, tail) = frame(plan.as_bytes(), 0);
        let padding = size.saturating_sub((head.len() + tail.len()) as u64);
        let (head, tail) = frame(plan.as_bytes(), padding);
        Self { head: head.into(), padding, tail: tail.into() }
    }

    fn left(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.padding
    }
}

impl HttpBody for Package {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = if !self.head.is_empty() {
            std::mem::take(&mut self.head)
        } else if self.padding > 0 {
            // At most the size of a block, so that it fits.
            let len = self.padding.min(BLOCK_SIZE as u64) as usize;
            self.padding -= len as u64;
            BLOCK.slice(..len)
        } else {
            std::mem::take(&mut self.tail)
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

/// What stands before and after the padding (PKWARE APPNOTE 6.3 §4.3). The sizes are always in
/// fields of ZIP64, so that those around them do not depend on the size.
fn frame(plan: &[u8], padding: u64) -> (Vec<u8>, Vec<u8>) {
    let plan_entry = Entry { name: PLAN, crc: crc32fast::hash(plan), len: plan.len() as u64 };
    let padding_entry = Entry { name: PADDING, crc: padding_crc(padding), len: padding };

    let mut head = plan_entry.local();
    head.extend_from_slice(plan);
    let second = head.len();
    head.extend(padding_entry.local());

    let directory_at = head.len() as u64 + padding;
    let mut tail = plan_entry.central(0);
    tail.extend(padding_entry.central(second));
    let directory_len = tail.len() as u64;
    let end_at = directory_at + directory_len;

    // The end of the directory in ZIP64, what leads to it, and the end as it was before ZIP64.
    tail.extend(le32(0x0606_4b50));
    tail.extend(44_u64.to_le_bytes());
    tail.extend([VERSION, 0, VERSION, 0]);
    tail.extend([0; 8]);
    for number in [2, 2, directory_len, directory_at] {
        tail.extend(number.to_le_bytes());
    }
    tail.extend(le32(0x0706_4b50));
    tail.extend(le32(0));
    tail.extend(end_at.to_le_bytes());
    tail.extend(le32(1));
    tail.extend(le32(0x0605_4b50));
    tail.extend([0, 0, 0, 0, 2, 0, 2, 0]);
    tail.extend([0xff; 8]);
    tail.extend([0, 0]);
    (head, tail)
}

/// The version of the format that has ZIP64: 4.5.
const VERSION: u8 = 45;

/// A stored file.
struct Entry {
    name: &'static str,
    crc: u32,
    len: u64,
}

impl Entry {
    /// The header before its data.
    fn local(&self) -> Vec<u8> {
        let mut header = le32(0x0403_4b50).to_vec();
        header.extend(self.common());
        header.extend(self.name.as_bytes());
        header.extend(self.sizes());
        header
    }

    /// Its header in the directory; its data is at `offset`, within the first 4 GiB.
    fn central(&self, offset: usize) -> Vec<u8> {
        let mut header = le32(0x0201_4b50).to_vec();
        header.extend([VERSION, 0]);
        header.extend(self.common());
        // No comment, the first disk, no attributes.
        header.extend([0; 10]);
        header.extend((offset as u32).to_le_bytes());
        header.extend(self.name.as_bytes());
        header.extend(self.sizes());
        header
    }

    /// Version, no flags, stored, midnight of 1980-01-01, checksum, sizes as said elsewhere, and
    /// the lengths of the name and of the extra field.
    fn common(&self) -> Vec<u8> {
        let mut fields = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(self.crc.to_le_bytes());
        fields.extend([0xff; 8]);
        fields.extend((self.name.len() as u16).to_le_bytes());
        fields.extend((self.sizes().len() as u16).to_le_bytes());
        fields
    }

    /// The extra field of ZIP64 with both sizes.
    fn sizes(&self) -> Vec<u8> {
        let mut extra = vec![1, 0, 16, 0];
        extra.extend(self.len.to_le_bytes());
        extra.extend(self.len.to_le_bytes());
        extra
    }
}

fn le32(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// The checksum of so much padding. It comes before the padding, and must not take as long.
fn padding_crc(len: u64) -> u32 {
    let mut crc = Hasher::new();
    let mut blocks = len / BLOCK_SIZE as u64;
    if blocks > 0 {
        // One block, two, four …: those of them that the number of blocks is made of.
        let mut power = Hasher::new();
        power.update(&BLOCK);
        loop {
            if blocks % 2 == 1 {
                crc.combine(&power);
            }
            blocks /= 2;
            if blocks == 0 {
                break;
            }
            power.combine(&power.clone());
        }
    }
    let rest = (len % BLOCK_SIZE as u64) as usize;
    if rest > 0 {
        crc.update(&BLOCK[..rest]);
    }
    crc.finalize()
}

/// What every archive with a file in it begins with.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// The name of the plan in a package that begins like this, if it is made like [`Package`].
pub(crate) fn plan_name(head: &[u8]) -> Option<String> {
    let number = |at: usize| Some(usize::from(u16::from_le_bytes([*head.get(at)?, head[at + 1]])));
    if head.len() < 30 || number(8)? != 0 {
        return None;
    }
    let (name_len, extra_len) = (number(26)?, number(28)?);
    let after_name = 30 + name_len;
    if head.get(30..after_name)? != PLAN.as_bytes() {
        return None;
    }
    // What comes after the plan is not JSON: the first value alone is of interest.
    let plan = head.get(after_name + extra_len..)?;
    let mut values = serde_json::Deserializer::from_slice(plan).into_iter::<Value>();
    let plan = values.next()?.ok()?;
    Some(plan["name"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_padding() {
        let block = BLOCK_SIZE as u64;
        for len in [0, 1, block - 1, block, block + 1, 2 * block, 5 * block + 7] {
            let mut expected = Hasher::new();
            for _ in 0..len / block {
                expected.update(&BLOCK);
            }
            expected.update(&BLOCK[..(len % block) as usize]);
            assert_eq!(padding_crc(len), expected.finalize(), "{len}");
        }
    }

    #[test]
    fn a_package_is_as_large_as_it_is_to_be_and_knows_its_name() {
        let plan = json!({ "name": "a plan", "description": null });
        let smallest = Package::new(&plan, 0).left();
        assert!((100..1000).contains(&smallest), "{smallest}");
        for size in [smallest, smallest + 1, 2000, 1 << 20, 5 << 30] {
            assert_eq!(Package::new(&plan, size).left(), size);
        }
        let head = Package::new(&plan, 2000).head;
        assert!(is_archive(&head));
        assert_eq!(plan_name(&head).as_deref(), Some("a plan"));
        for cut in [0, 3, 29, 35, 60] {
            assert_eq!(plan_name(&head[..cut]), None, "{cut}");
        }
    }

    /// A hole in a file has no size on the disk where these systems have their files.
    #[cfg(unix)]
    #[test]
    fn a_package_beyond_4_gib_can_be_listed() {
        use std::io::{Seek as _, SeekFrom, Write as _};
        use std::process::Command;

        let package = Package::new(&json!({ "name": "a plan" }), 5 << 30);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&package.head).expect("written");
        let padding = SeekFrom::Current(package.padding as i64);
        file.as_file_mut().seek(padding).expect("a hole");
        file.write_all(&package.tail).expect("written");

        let script = "import sys, zipfile\n\
                      archive = zipfile.ZipFile(sys.argv[1])\n\
                      print(archive.read('plan.json').decode())\n\
                      print(archive.getinfo('padding.bin').file_size)\n";
        match Command::new("python3").arg("-c").arg(script).arg(file.path()).output() {
            Ok(output) => {
                let stdout = String::from_utf8_lossy(&output.stdout);
                let expected = format!("{{\"name\":\"a plan\"}}\n{}\n", package.padding);
                assert_eq!(stdout, expected, "{output:?}");
            }
            Err(error) => println!("skipped: python3: {error}"),
        }
    }
}
