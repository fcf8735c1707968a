//! Why the program could not do what it was asked, in one line each.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything as it should be: exit code 0.
    Done,
    /// A violated expectation or an invalid configuration: exit code 1.
    Violated,
}

impl Outcome {
    /// [`Outcome::Violated`] if anything was.
    #[must_use]
    pub fn violated_if(violated: bool) -> Self {
        if violated { Self::Violated } else { Self::Done }
    }
}

/// Why there is no outcome: exit code 2.
#[derive(Debug)]
pub enum Failure {
    /// A file that cannot be used.
    File(FileError),
    /// Nothing more can be printed; a closed pipe is no error.
    Print(io::Error),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Print(error)
    }
}

/// A file that cannot be used: which one, where in it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// Why.
    pub reason: String,
}

impl FileError {
    /// About a file as a whole.
    pub fn whole(file: &Path, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: None, reason: one_line(&reason.to_string()) }
    }
    /// About one line of a file, counted from 1.
    pub fn at(file: &Path, line: usize, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: Some(line), reason: one_line(&reason.to_string()) }
    }
}

/// Messages of libraries may have several lines; ours are one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.file.display(), self.reason),
            None => write!(out, "{}: {}", self.file.display(), self.reason),
        }
    }
}

impl std::error::Error for FileError {}

/// Reads a text file.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn read(file: &Path) -> Result<String, FileError> {
    let bytes = std::fs::read(file).map_err(|error| FileError::whole(file, error))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count();
        FileError::at(file, line.saturating_add(1), "not UTF-8 text")
    })
}

/// Writes a file, and the directories above it where they are missing.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &Path, content: &[u8]) -> Result<(), FileError> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| FileError::whole(directory, error))?;
    }
    std::fs::write(file, content).map_err(|error| FileError::whole(file, error))
}

/// The line of a byte offset, counted from 1.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}
