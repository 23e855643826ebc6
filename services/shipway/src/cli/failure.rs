//! How a command ends: exit codes, and errors that say what to do.

use std::process::ExitCode;

use super::color::{Paint, Style};

/// What a verb ends with.
pub(crate) type Outcome = Result<Exit, Failure>;

/// The exit codes: documented and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// A run failed, or the command could not be done.
    Failed = 1,
    /// The command itself is wrong.
    Usage = 2,
    /// The run was aborted.
    Aborted = 3,
    /// Not known, or not allowed.
    NotAllowed = 4,
    /// A person has to act before anything moves.
    Waiting = 5,
    /// What was planned is not what would be done now.
    Moved = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    help: Vec<String>,
    /// It is over after a while, by itself.
    pub(crate) passes: bool,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), help: Vec::new(), passes: false }
    }

    /// A wrong command, exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// Adds a line that says what to do.
    pub(crate) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }

    /// Writes it to standard error.
    pub(crate) fn print(&self) {
        let paint = Paint::stderr();
        eprintln!("{}{}", paint.on("error: ", Style::Bad), self.message);
        for line in &self.help {
            eprintln!("{}{line}", paint.on(" help: ", Style::Accent));
        }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let message = status.message().to_owned();
        if let Some(answer) = others_answer(&message) {
            return Self::new(format!("something before Shipway answered {answer}"))
                .help("a load balancer or proxy does that where no process of the service is up, or where the address is another program's");
        }
        match status.code() {
            Code::InvalidArgument => Self::usage(message),
            Code::Unauthenticated | Code::PermissionDenied => {
                Self { exit: Exit::NotAllowed, ..Self::new(message) }
            }
            Code::Unavailable if shipway_contracts::retry_after(&status).is_some() => Self {
                passes: true,
                ..Self::new(message)
            }
            .help(
                "nothing is wrong: `shipway up` and /readyz say how far it is, and it answers by itself then",
            ),
            Code::Unavailable => Self::new(or(message, "Shipway does not answer"))
                .help("is it running? `shipway up` starts it; its own log says why it stopped"),
            Code::Unimplemented => Self::new(format!("this Shipway does not know that call ({message})"))
                .help("client and server may be of different versions: compare `shipway --version`"),
            Code::Internal | Code::Unknown => Self::new(or(message, "a defect of Shipway, without words"))
                .help("Shipway's own log has the details"),
            _ => Self::new(or(message, &status.code().to_string())),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// The HTTP status of an answer that no service gave: it was not gRPC, and whoever read it complains of its bytes.
fn others_answer(message: &str) -> Option<&str> {
    let (_, answer) = message.split_once("while receiving response with status: ")?;
    message.starts_with("protocol error").then_some(answer)
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_load_balancer_answers_is_told_from_what_shipway_does() {
        let words = "protocol error: received message with invalid compression flag: 60 (valid flags are 0 and 1) while \
                     receiving response with status: 503 Service Unavailable";
        let failure = Failure::from(tonic::Status::internal(words));
        assert_eq!(failure.message, "something before Shipway answered 503 Service Unavailable");
        assert!(failure.help[0].contains("load balancer"), "{:?}", failure.help);
        let own = Failure::from(tonic::Status::internal("reading a row failed"));
        assert_eq!(own.message, "reading a row failed");
    }

    #[test]
    fn who_has_to_wait_is_not_told_to_start_shipway() {
        let later = shipway_contracts::Error::unavailable("at 3 of 9; try again then");
        let known =
            Failure::from(tonic::Status::from(later.clone().retry_after(Some(Duration::from_secs(3)))));
        assert!(known.passes && known.help[0].contains("nothing is wrong"), "{known:?}");
        let away = Failure::from(tonic::Status::from(later));
        assert!(!away.passes && away.help[0].contains("is it running?"), "{away:?}");
    }

    #[test]
    fn codes_of_the_server_become_exit_codes() {
        let exit = |status: tonic::Status| Failure::from(status).exit;
        assert_eq!(exit(tonic::Status::invalid_argument("x")), Exit::Usage);
        assert_eq!(exit(tonic::Status::permission_denied("x")), Exit::NotAllowed);
        assert_eq!(exit(tonic::Status::unauthenticated("x")), Exit::NotAllowed);
        assert_eq!(exit(tonic::Status::not_found("x")), Exit::Failed);
        assert_eq!(exit(tonic::Status::unavailable("")), Exit::Failed);
    }
}
