//! Exported packages: ZIP archives of a given size.

use std::io::Write as _;

use rawzip::{Error, ZipArchive, ZipArchiveWriter};
use serde_json::Value;

/// The entry with the plan.
const PLAN: &str = "plan.json";
/// The entry that brings the package to its size.
const PADDING: &str = "padding.bin";

/// An archive of `size` bytes with this plan, or a larger one if it does not fit.
pub(crate) fn archive(plan: &Value, size: usize) -> Vec<u8> {
    let plan = plan.to_string();
    let write = |padding| write(&[(PLAN, plan.as_bytes()), (PADDING, padding)]);
    let smallest = write(&[]).expect("a vector takes it").len();
    write(&noise(size.saturating_sub(smallest))).expect("a vector takes it")
}

/// Stores the files, since nothing here can be compressed.
fn write(files: &[(&str, &[u8])]) -> Result<Vec<u8>, Error> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    for (name, content) in files {
        let (mut entry, config) = archive.new_file(*name).start()?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(content)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()
}

/// Bytes that look random but are always the same: Xorshift.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = vec![0; length];
    for word in noise.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    noise
}

/// The name of the plan in an archive; `None` if it is from elsewhere. The error means that it is no
/// archive.
pub(crate) fn plan_name(archive: &[u8]) -> Result<Option<String>, Error> {
    let archive = ZipArchive::from_slice(archive)?;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry()? {
        if entry.file_path().as_ref() == PLAN.as_bytes() {
            let content = archive.get_entry(entry.wayfinder())?;
            let plan: Value = serde_json::from_slice(content.data()).unwrap_or_default();
            return Ok(plan["name"].as_str().map(str::to_owned));
        }
    }
    Ok(None)
}
