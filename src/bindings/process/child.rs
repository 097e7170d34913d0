//! The program as a process: started apart from everything of the daemon's but three pipes, killed with all of its group.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open, set_parent_process_death_signal,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use crate::config::ProcessSettings;

/// What is started, and how.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) settings: ProcessSettings,
    /// Where it runs if its settings do not say.
    pub(super) directory: PathBuf,
}

/// The three pipes of a process.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A process that was started and is not waited for yet. Dropping it kills it.
pub(super) struct Running {
    child: Child,
    /// Its own id, and that of its group.
    pub(super) pid: Pid,
    /// Becomes readable when it ends; unlike waiting, that leaves its id, and so that of the group, to it.
    pidfd: AsyncFd<OwnedFd>,
}

impl Program {
    /// Starts it on this thread, with which it ends, and which must therefore live as long as the daemon.
    pub(super) fn start(&self) -> io::Result<(Running, Pipes)> {
        let directory = self.settings.directory.as_deref().unwrap_or(&self.directory);
        if !directory.is_dir() {
            // Else the system says the same as of a missing program.
            let text = format!("its directory `{}` is not there", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut child = self.command(directory).spawn()?;
        let pipes = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Pipes { stdin, stdout, stderr },
            _ => return Err(io::Error::other("it was started without its pipes")),
        };
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        let pidfd = watch(pidfd_open(pid, PidfdFlags::empty())?)?;
        Ok((Running { child, pid, pidfd }, pipes))
    }

    fn command(&self, directory: &Path) -> Command {
        let ProcessSettings { command, args, env, .. } = &self.settings;
        let mut command = Command::new(command);
        command
            .args(args)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(env)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let daemon = getpid();
        #[allow(unsafe_code, reason = "only between fork and exec can a process ask to end with its parent")]
        // SAFETY: the closure makes two system calls and allocates, locks and drops nothing, also where it fails (the error
        // is a number), which is what may be done between fork and exec in a process with several threads.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // A daemon that died before that would not be noticed any more.
                if getppid() == Some(daemon) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
            });
        }
        command
    }
}

fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[allow(unsafe_code, reason = "there is no safe way to wait for a descriptor that is no socket or pipe")]
    // SAFETY: an `OwnedFd` is a valid descriptor, which is closed only when it is dropped, and nobody here replaces it.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    Ok(watched?)
}

impl Running {
    /// Waits until the process has ended. Its id stays its own until [`Running::reap`].
    pub(super) async fn exited(&self) {
        // Where the system cannot tell, waiting for the process would not end either.
        self.pidfd.readable().await.map(drop).ok();
    }

    /// Sends a signal to the process and everything in its group.
    pub(super) fn signal(&self, signal: Signal) {
        // Nobody is left in the group: then there is nothing to do.
        kill_process_group(self.pid, signal).ok();
    }

    /// Kills what is left of the group and takes the process's status, so that no zombie stays.
    pub(super) async fn reap(mut self) -> Exit {
        self.signal(Signal::KILL);
        Exit(self.child.wait().await)
    }
}

/// How a process ended.
pub(super) struct Exit(io::Result<ExitStatus>);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit code {code}"),
                (None, Some(signal)) => write!(f, "signal {signal}"),
                (None, None) => write!(f, "{status}"),
            },
            Err(error) => write!(f, "its end cannot be told: {error}"),
        }
    }
}
