//! Those who ask over HTTP while something happens, each request on a connection of its own. They run in a process that is in
//! the network of a box, and see everything that a client there would see.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    guests::KEY,
    machine::{Machine, pause},
};

/// What became of the requests.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Answered with 200.
    pub(crate) answered: u64,
    /// No connection.
    pub(crate) refused: u64,
    /// Connections that ended before anything was answered on them.
    pub(crate) cut_off: u64,
    /// What else was answered.
    pub(crate) failed: Vec<String>,
}

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a caller waits whom nobody wants.
const REFUSED: Duration = Duration::from_millis(10);

/// Callers at work.
pub(crate) struct Callers {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Callers {
    /// Starts so many, and returns when each has had an answer.
    pub(crate) fn start(machine: &Machine, address: &str, path: &str, callers: usize) -> Self {
        let mut child = Command::new("nsenter")
            .args(["--net", "--target", &machine.leader().to_string(), "--"])
            .arg(env::current_exe().unwrap())
            .args(["callers", address, path, &callers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "at work\n");
        Self { child, lines }
    }

    /// Ends them, when each has its last answer.
    pub(crate) fn end(mut self) -> Counted {
        drop(self.child.stdin.take());
        let mut counted = Counted::default();
        for line in self.lines.by_ref().lines().map(Result::unwrap) {
            match line.split_once(' ').unwrap() {
                ("answered", number) => counted.answered = number.parse().unwrap(),
                ("refused", number) => counted.refused = number.parse().unwrap(),
                ("cut_off", number) => counted.cut_off = number.parse().unwrap(),
                (_, what) => counted.failed.push(what.to_owned()),
            }
        }
        assert!(self.child.wait().unwrap().success());
        counted
    }
}

/// The process of the callers: asks until its input ends, and then tells what became of it.
pub(crate) fn serve(address: &str, path: &str, callers: usize) -> ExitCode {
    let address: SocketAddr = address.parse().unwrap();
    let ended = AtomicBool::new(false);
    let at_work = Barrier::new(callers + 1);
    let mut sum = Counted::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                scope.spawn(|| {
                    let mut counted = Counted::default();
                    ask(address, path, &mut counted);
                    at_work.wait();
                    while !ended.load(Ordering::Relaxed) {
                        ask(address, path, &mut counted);
                    }
                    counted
                })
            })
            .collect();
        at_work.wait();
        println!("at work");
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        ended.store(true, Ordering::Relaxed);
        for counted in threads.into_iter().map(|thread| thread.join().unwrap()) {
            sum.answered += counted.answered;
            sum.refused += counted.refused;
            sum.cut_off += counted.cut_off;
            sum.failed.extend(counted.failed);
        }
    });
    println!("answered {}\nrefused {}\ncut_off {}", sum.answered, sum.refused, sum.cut_off);
    sum.failed.iter().for_each(|what| println!("failed {}", what.replace('\n', " ")));
    ExitCode::SUCCESS
}

fn ask(address: SocketAddr, path: &str, counted: &mut Counted) {
    let Ok(mut connection) = TcpStream::connect_timeout(&address, PATIENCE) else {
        counted.refused += 1;
        return pause(REFUSED);
    };
    let length = KEY.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: proof\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{KEY}");
    let mut answer = Vec::new();
    let done = connection
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| connection.write_all(request.as_bytes()))
        .and_then(|()| connection.read_to_end(&mut answer));
    match done {
        Ok(_) if answer.starts_with(b"HTTP/1.1 200 ") => counted.answered += 1,
        Ok(1..) => counted.failed.push(String::from_utf8_lossy(&answer).into_owned()),
        Ok(0) => counted.cut_off += 1,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            counted.cut_off += 1;
        }
        Err(error) => counted.failed.push(error.to_string()),
    }
}
