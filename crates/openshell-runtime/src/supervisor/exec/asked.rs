//! What a client asks to be run: checked, and as the supervisor is asked for it.

use openshell_proto::openshell::v1::ExecSandboxRequest;
use openshell_proto::relay::v1alpha1::{Command, Start, WindowSize, start::What};
use tonic::Status;

use crate::limits;

/// The one reserved name that a client may set: the Python client hands its function over by it.
const ALLOWED: &str = "OPENSHELL_PYFUNC_B64";
/// The most columns and rows of a terminal: what the kernel keeps of them (`struct winsize` of ioctl_tty(2)).
const MAX_SIZE: u32 = u16::MAX as u32;
/// A terminal whose size nobody said.
const USUAL: WindowSize = WindowSize { columns: 80, rows: 24 };

/// What is to be run, and where.
pub(super) struct Started {
    pub(super) sandbox_id: String,
    /// How long it may take; 0: for ever.
    pub(super) seconds: u32,
    pub(super) start: Start,
}

/// Checks everything that needs no sandbox.
///
/// # Errors
/// `INVALID_ARGUMENT` with every fault, each naming its field; no value of a variable is shown.
pub(super) fn check(request: &ExecSandboxRequest) -> Result<(), Status> {
    let mut faults = Vec::new();
    if request.command.is_empty() {
        faults.push("`command` is empty".to_owned());
    }
    faults.extend(limits::command_faults("command", &request.command));
    faults.extend(limits::text_fault("workdir", &request.workdir));
    faults.extend(limits::exec_environment_faults("environment", &request.environment, ALLOWED));
    if !faults.is_empty() {
        return Err(Status::invalid_argument(faults.join("; ")));
    }
    window("`cols` and `rows`", request.cols, request.rows).map(|_| ())
}

/// A terminal's size.
///
/// # Errors
/// `INVALID_ARGUMENT` when no terminal can be that large.
pub(super) fn window(field: &str, columns: u32, rows: u32) -> Result<WindowSize, Status> {
    if columns > MAX_SIZE || rows > MAX_SIZE {
        return Err(Status::invalid_argument(format!(
            "{field}: a terminal of {columns} columns and {rows} rows; each may be {MAX_SIZE} at most"
        )));
    }
    Ok(WindowSize { columns, rows })
}

/// What the supervisor is asked for.
pub(super) fn start(request: ExecSandboxRequest, stdin: bool) -> Started {
    let ExecSandboxRequest {
        sandbox_id,
        command,
        workdir,
        environment,
        timeout_seconds,
        tty,
        cols,
        rows,
        ..
    } = request;
    let size = match (cols, rows) {
        (0, _) | (_, 0) => USUAL,
        (columns, rows) => WindowSize { columns, rows },
    };
    let terminal = tty.then_some(size);
    let command = Command { argv: command, workdir, environment, terminal, timeout_seconds, stdin };
    Started { sandbox_id, seconds: timeout_seconds, start: Start { what: Some(What::Command(command)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> ExecSandboxRequest {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        ExecSandboxRequest { command, ..Default::default() }
    }

    #[test]
    fn what_is_refused_names_its_field_and_no_value() {
        let with = |name: &str| {
            let environment = [(name.to_owned(), "s3cret".to_owned())].into();
            ExecSandboxRequest { environment, ..request(&["true"]) }
        };
        assert!(check(&request(&["sh", "-c", ""])).is_ok());
        assert!(check(&with(ALLOWED)).is_ok() && check(&with("PATH")).is_ok());
        for (bad, says) in [
            (request(&[]), "`command` is empty"),
            (request(&[""]), "`command` begins"),
            (request(&["a\0"]), "`command` holds a NUL"),
            (ExecSandboxRequest { workdir: "a\nb".to_owned(), ..request(&["true"]) }, "`workdir`"),
            (with("OPENSHELL_SANDBOX_TOKEN_FILE"), "OPENSHELL_SANDBOX_TOKEN_FILE"),
            (with("OPENSHELL_PYFUNC_B64X"), "OPENSHELL_PYFUNC_B64X"),
            (with("A=B"), "A=B"),
            (ExecSandboxRequest { tty: true, cols: 70_000, rows: 1, ..request(&["true"]) }, "70000 columns"),
        ] {
            let status = check(&bad).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().contains(says), "{says}: {status:?}");
            assert!(!status.message().contains("s3cret"), "{status:?}");
        }
    }

    #[test]
    fn a_terminal_has_a_size() {
        let terminal = |tty, cols, rows| {
            let asked = ExecSandboxRequest { tty, cols, rows, ..request(&["sh"]) };
            match start(asked, false).start.what {
                Some(What::Command(command)) => command.terminal,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(terminal(false, 10, 10), None);
        assert_eq!(terminal(true, 0, 10), Some(USUAL));
        assert_eq!(terminal(true, 100, 10), Some(WindowSize { columns: 100, rows: 10 }));
    }
}
