//! Exported packages: ZIP archives of any size, generated while they are sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use axum::body::Bytes;
use crc32fast::Hasher;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde_json::Value;

/// The entry with the plan.
const PLAN: &str = "plan.json";
/// The entry that brings the package to its size.
const PADDING: &str = "padding.bin";

/// What the padding repeats. It is longer than the window of deflate, which cannot compress it.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        // Xorshift: the bytes look random but are always the same.
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
    /// What precedes the padding.
    head: Bytes,
    /// How much padding is still to be sent.
    padding: u64,
    /// What follows the padding.
    tail: Bytes,
}

impl Package {
    /// A package of `size` bytes with this plan, or larger if it does not fit.
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
            // At most the size of a block, which fits into usize.
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

/// What precedes and what follows the padding (PKWARE APPNOTE 6.3 §4.3). Sizes are always in ZIP64
/// fields, so that the length of both parts does not depend on the size.
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

    // The ZIP64 end of central directory, its locator, and the classic end of central directory.
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

/// The version of the format that introduced ZIP64: 4.5.
const VERSION: u8 = 45;

/// A stored file.
struct Entry {
    name: &'static str,
    crc: u32,
    len: u64,
}

impl Entry {
    /// Its local header, which precedes its data.
    fn local(&self) -> Vec<u8> {
        let mut header = le32(0x0403_4b50).to_vec();
        header.extend(self.common());
        header.extend(self.name.as_bytes());
        header.extend(self.sizes());
        header
    }

    /// Its header in the central directory. Its local header is at `offset`, below 4 GiB.
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

    /// Version, no flags, stored, midnight of 1980-01-01, checksum, sizes (in the extra field), and
    /// the lengths of the name and of the extra field.
    fn common(&self) -> Vec<u8> {
        let mut fields = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(self.crc.to_le_bytes());
        fields.extend([0xff; 8]);
        fields.extend((self.name.len() as u16).to_le_bytes());
        fields.extend((self.sizes().len() as u16).to_le_bytes());
        fields
    }

    /// The ZIP64 extra field with both sizes.
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

/// The checksum of `len` bytes of padding. It is sent before the padding, so that it is computed
/// from that of one block instead of byte by byte.
fn padding_crc(len: u64) -> u32 {
    let mut crc = Hasher::new();
    let mut blocks = len / BLOCK_SIZE as u64;
    if blocks > 0 {
        // One block, two, four …: combine those that are set in the number of blocks.
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

/// Whether a file that begins like this is a ZIP archive with at least one entry.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// The name of the plan in a file that begins like this, if it has the layout of a [`Package`].
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
    // What follows the plan is not JSON, so only the first value is read.
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
    fn a_package_has_the_requested_size_and_the_name_of_its_plan() {
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

    /// The padding is a hole in the file, so that it takes no space.
    #[cfg(unix)]
    #[test]
    fn a_package_beyond_4_gib_can_be_listed() {
        use std::io::{Seek as _, SeekFrom, Write as _};

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
        if !acceptance::have("python3") {
            return;
        }
        let mut python = acceptance::clean("python3");
        let output = python.arg("-c").arg(script).arg(file.path()).output().expect("started");
        let expected = format!("{{\"name\":\"a plan\"}}\n{}\n", package.padding);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
}
