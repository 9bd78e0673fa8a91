//! Without what only Linux can do.

use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) fn keep_in_place(_file: &File) {}

pub(crate) fn unnamed_file(_folder: &Path) -> Option<File> {
    None
}

pub(crate) fn name_file(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
pub(crate) fn descendants(_process: u32) -> Vec<u32> {
    Vec::new()
}

/// The type of a file's file system; unknown here.
pub(crate) fn file_system(_file: &File) -> Option<String> {
    None
}
