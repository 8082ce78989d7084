//! What a test kernel's machine and the host that watches it say to each other: the commands to
//! run, in a file of the initramfs, and the lines that come back on a serial port of their own, so
//! that the kernel's console does not run into them.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// Where the guest finds its commands, as [`Command`]s in text.
pub const COMMANDS: &str = "/etc/skep/commands";
/// Where the guest finds the modules to load, a path a line, in their order.
pub const MODULES: &str = "/etc/skep/modules";
/// Where the lines come back.
pub const PORT: &str = "/dev/ttyS1";

/// A command that says nothing for so long hangs: the machine is emulated, and slow.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A line that the guest sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It sends this while nothing else happens: the kernel runs.
    Alive,
    /// Something that is worth knowing.
    Note(String),
    /// The command of this number starts.
    Begin(usize),
    /// A line of the command's output.
    Out(String),
    /// A line of the command's errors.
    Err(String),
    /// The command ended with this exit code.
    Exit(i32),
    /// The command said nothing for so many seconds and was killed.
    Hung(u64),
    /// All commands have run; the machine goes down.
    End,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive => write!(f, "alive"),
            Self::Note(text) => write!(f, "note {text}"),
            Self::Begin(command) => write!(f, "begin {command}"),
            Self::Out(text) => write!(f, "out {text}"),
            Self::Err(text) => write!(f, "err {text}"),
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Hung(seconds) => write!(f, "hung {seconds}"),
            Self::End => write!(f, "end"),
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let unread = || format!("a line that no guest sends: {text:?}");
        Ok(match word {
            "alive" => Self::Alive,
            "note" => Self::Note(rest.to_owned()),
            "begin" => Self::Begin(rest.parse().map_err(|_| unread())?),
            "out" => Self::Out(rest.to_owned()),
            "err" => Self::Err(rest.to_owned()),
            "exit" => Self::Exit(rest.parse().map_err(|_| unread())?),
            "hung" => Self::Hung(rest.parse().map_err(|_| unread())?),
            "end" => Self::End,
            _ => return Err(unread()),
        })
    }
}

/// A command for the guest. Nothing of it may have a line break in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Its environment, beyond what the guest sets for all.
    pub environment: Vec<(String, String)>,
    /// The program's path, and its arguments.
    pub words: Vec<String>,
    /// After so many seconds without a word it hangs, if not after [`PATIENCE`].
    pub patience: Option<u64>,
}

impl Command {
    /// Commands as text.
    pub fn write(commands: &[Self]) -> String {
        let mut text = String::new();
        for command in commands {
            text += &format!("in {}\n", command.folder.display());
            for (name, value) in &command.environment {
                text += &format!("set {name}={value}\n");
            }
            for word in &command.words {
                text += &format!("word {word}\n");
            }
            if let Some(seconds) = command.patience {
                text += &format!("patience {seconds}\n");
            }
            text += "run\n";
        }
        text
    }

    /// Commands out of text.
    ///
    /// # Errors
    /// The line that is none.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let mut commands = Vec::new();
        let mut command = Self::default();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let wrong = || format!("a line that is no command's: {line:?}");
            match word {
                "in" => command.folder = rest.into(),
                "set" => {
                    let (name, value) = rest.split_once('=').ok_or(line)?;
                    command
                        .environment
                        .push((name.to_owned(), value.to_owned()));
                }
                "word" => command.words.push(rest.to_owned()),
                "patience" => command.patience = Some(rest.parse().map_err(|_| wrong())?),
                "run" if !command.words.is_empty() => commands.push(std::mem::take(&mut command)),
                _ => return Err(wrong()),
            }
        }
        Ok(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_sent() {
        for line in [
            Line::Alive,
            Line::Note("veth: no such module".into()),
            Line::Begin(1),
            Line::Out("test maps::rings ... ok".into()),
            Line::Out(String::new()),
            Line::Err("SKIP x".into()),
            Line::Exit(-6),
            Line::Hung(120),
            Line::End,
        ] {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        assert!("begin x".parse::<Line>().is_err());
        assert!("Linux version 6.12".parse::<Line>().is_err());
    }

    #[test]
    fn commands_come_back_as_they_were_written() {
        let commands = [
            Command {
                folder: "/work/skep".into(),
                environment: vec![("A".into(), "b=c".into())],
                words: vec!["/t/kernel".into(), "a test".into(), String::new()],
                patience: Some(3),
            },
            Command {
                folder: "/".into(),
                words: vec!["/bin/true".into()],
                ..Command::default()
            },
        ];
        assert_eq!(
            Command::read(&Command::write(&commands)),
            Ok(commands.into())
        );
        for wrong in ["run\n", "patience long\n", "set x\n"] {
            assert!(Command::read(wrong).is_err(), "{wrong}");
        }
    }
}
