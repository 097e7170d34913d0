//! wrk, and what it says.

use std::{fs, io::Write as _, process::Command, time::Duration};

use tempfile::NamedTempFile;

use crate::harness::Failure;

/// One run of wrk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Requests a second that were answered.
    pub(crate) rate: f64,
    /// The 99th percentile of their times.
    pub(crate) p99: Duration,
    /// Requests that were answered.
    pub(crate) requests: u64,
}

/// How wrk loads a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'l> {
    /// Connections.
    pub(crate) connections: u32,
    /// For how long.
    pub(crate) time: Duration,
    /// What is sent.
    pub(crate) body: &'l [u8],
    /// Number of modules of which each request calls a random one; 0: the path of the URL.
    pub(crate) random: usize,
}

impl Load<'_> {
    fn script(&self) -> Result<NamedTempFile, Failure> {
        let bytes: String = self.body.iter().map(|byte| format!("\\{byte:03}")).collect();
        let mut script = format!(
            "wrk.method = \"POST\"\nwrk.body = \"{bytes}\"\nwrk.headers[\"Content-Type\"] = \"application/octet-stream\"\n"
        );
        if self.random > 0 {
            // Made once: what wrk does for each request is not to be measured.
            script += &format!(
                "local requests = {{}}\nfunction init(args)\n  math.randomseed(7)\n  for n = 0, {} do\n    \
                 requests[n] = wrk.format(nil, \"/m\" .. n .. \"/echo\")\n  end\nend\n\
                 function request()\n  return requests[math.random(0, {})]\nend\n",
                self.random - 1,
                self.random - 1
            );
        }
        let mut file = NamedTempFile::with_suffix(".lua")?;
        file.write_all(script.as_bytes())?;
        Ok(file)
    }

    /// Loads that URL. Any request that is not answered with 200 is a failure.
    pub(crate) fn run(&self, url: &str) -> Result<Run, Failure> {
        let run = self.run_whatever(url)?;
        match run {
            (run, 0) => Ok(run),
            (_, failed) => Err(format!("{failed} requests to {url} failed").into()),
        }
    }

    /// The same; also gives how many requests failed.
    pub(crate) fn run_whatever(&self, url: &str) -> Result<(Run, u64), Failure> {
        let script = self.script()?;
        let output = Command::new("wrk")
            .args(["--threads", "1", "--latency", "--timeout", "10s", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.time.as_secs().max(1)), "--script"])
            .arg(script.path())
            .arg(url)
            .output()
            .map_err(|error| format!("cannot run wrk, which is a package of Debian and others: {error}"))?;
        let text = String::from_utf8(output.stdout)?;
        read(&text).ok_or_else(|| format!("wrk said: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

fn read(text: &str) -> Option<(Run, u64)> {
    let after = |mark: &str| text.lines().find_map(|line| line.trim().strip_prefix(mark));
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    let p99 = time(after("99%")?.trim())?;
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.trim().parse().ok()?;
    let bad = after("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.trim().parse().ok())?;
    let numbers =
        |line: &str| -> u64 { line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok()).sum() };
    Some((Run { rate, p99, requests }, bad + after("Socket errors:").map_or(0, numbers)))
}

fn time(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit))
}

/// A request with curl's directness: sent once, to calibrate or to set something up.
pub(crate) fn post(url: &str, body: &[u8]) -> Result<Duration, Failure> {
    use std::{io::Read as _, net::TcpStream, time::Instant};
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or("no URL")?;
    let mut stream = TcpStream::connect(host)?;
    let head =
        format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let started = Instant::now();
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(started.elapsed());
    }
    Err(format!("{url} answered {}", String::from_utf8_lossy(&answer)).into())
}

/// The load of the machine over the last minute, which every figure depends on.
pub(crate) fn load() -> Result<f64, Failure> {
    Ok(fs::read_to_string("/proc/loadavg")?.split_whitespace().next().unwrap_or_default().parse()?)
}
