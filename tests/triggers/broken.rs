//! Requests that are wrong, generated: the same for the same seed.

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};

/// What must never be answered where it follows something broken.
const NEXT: &[u8] = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\nconnection: close\r\n\r\nsmuggled";

/// What may be answered where it follows something that was refused and has an end.
const LAST: &[u8] = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlast";

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The connection ends; an answer is not needed, because it cannot be understood or the client has gone.
    Ends,
    /// One answer with this status, and the connection ends.
    Refused(&'static str),
    /// An answer with this status; others may follow.
    First(&'static str),
}

/// One connection's bytes.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) bytes: Vec<u8>,
    /// Where they are sent in two pieces.
    pub(crate) split: usize,
    /// Whether nothing more is said then, for the other side to see.
    pub(crate) hang_up: bool,
    /// Whether they go to the listener with TLS.
    pub(crate) secure: bool,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Generator {
    random: StdRng,
    index: usize,
}

impl Generator {
    /// The one that makes case `index` of a seed.
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        Self { random: StdRng::seed_from_u64(seed << 32 | index as u64), index }
    }

    pub(crate) fn case(mut self) -> Case {
        const REFUSED: Outcome = Outcome::Refused("400");
        let mut secure = false;
        let (bytes, outcome) = match self.index % 14 {
            0 => (self.request_line(), REFUSED),
            1 => (self.header(), REFUSED),
            2 => (request("x: a\r\n folded\r\n", b""), REFUSED),
            3 => (self.length(), REFUSED),
            4 => (self.coding(), REFUSED),
            // One is as good as the other to somebody between; nobody may go on after it.
            5 => (self.both(), Outcome::Refused("200")),
            6 => (self.chunks(), REFUSED),
            7 => (self.huge_head(), Outcome::Refused("431")),
            8 => (self.huge_body(), Outcome::First("413")),
            9 => (self.expecting(), Outcome::Refused("413")),
            10 => (self.http2(), Outcome::Ends),
            11 => {
                secure = self.random.random();
                ([b"\x16\x03\x01", &*self.noise(300)].concat(), Outcome::Ends)
            }
            12 => {
                secure = true;
                (self.handshake(), Outcome::Ends)
            }
            _ => (self.mutated(), Outcome::Ends),
        };
        let mut bytes = bytes;
        bytes.extend_from_slice(if outcome == Outcome::First("413") { LAST } else { NEXT });
        // What is cut off or shuffled may have become right by chance: then it is no case of its own.
        if outcome == Outcome::Ends {
            bytes.truncate(bytes.len() - NEXT.len());
        }
        let split = self.random.random_range(0..=bytes.len().min(400));
        Case { bytes, split, hang_up: outcome == Outcome::Ends, secure, outcome }
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).unwrap()
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let length = self.random.random_range(9..most);
        (0..length).map(|_| self.random.random()).collect()
    }

    fn request_line(&mut self) -> Vec<u8> {
        let line = self.pick(&[
            "GET  /echo HTTP/1.1",
            "GET /echo",
            "GET /echo HTTP/1.1 ",
            "GET /echo HTTP/3.7",
            "GET /echo HTTP/1.10",
            "GET /echo http/1.1",
            "GET /ec ho HTTP/1.1",
            "GET\t/echo HTTP/1.1",
            "G(T /echo HTTP/1.1",
            "G\0T /echo HTTP/1.1",
            " GET /echo HTTP/1.1",
            "GET /echo\x01 HTTP/1.1",
            "GET http://a:b:c/ HTTP/1.1",
            "/echo HTTP/1.1",
            "HTTP/1.1 200 OK",
        ]);
        format!("{line}\r\nhost: a\r\n\r\n").into_bytes()
    }

    fn header(&mut self) -> Vec<u8> {
        let byte = self.pick(&["\0", "\x01", "\x07", "\x7f", "\x0b", "\x1b"]);
        let line = match self.random.random_range(0..6) {
            0 => format!("na{byte}me: value\r\n"),
            1 => format!("name: val{byte}ue\r\n"),
            2 => format!("na{}me: value\r\n", self.pick(&[" ", "(", ")", "@", "[", "\"", "ü", ";", "\t"])),
            3 => format!("{} : 5\r\n", self.pick(&["content-length", "transfer-encoding", "host", "x"])),
            4 => "no colon\r\n".to_owned(),
            _ => ": no name\r\n".to_owned(),
        };
        request(&line, b"")
    }

    /// Lengths that are none, or that differ.
    fn length(&mut self) -> Vec<u8> {
        let wrong = ["-1", "+5", "0x5", "5 5", "five", "", "99999999999999999999999", "5,6", "5;", "٥"];
        let lines = match self.random.random_range(0..3) {
            0 => format!("content-length: {}\r\n", self.pick(&wrong)),
            1 => format!("content-length: {}\r\ncontent-length: 5\r\n", self.pick(&["4", "6", "05x", "-5"])),
            _ => format!("content-length: 5\r\nContent-Length: {}\r\n", self.pick(&["0", "50", "x"])),
        };
        request(&lines, b"hello")
    }

    /// Codings that hide where the body ends.
    fn coding(&mut self) -> Vec<u8> {
        let coding =
            self.pick(&["identity", "chunked, gzip", "xchunked", "chunkedx", "gzip", "", "chunked;q=1", "\"chunked\""]);
        if self.random.random_ratio(1, 4) {
            return [b"POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(), b"0\r\n\r\n"].concat();
        }
        request(&format!("transfer-encoding: {coding}\r\n"), b"0\r\n\r\n")
    }

    /// A length and chunks: by the length what follows would be in the body, by the chunks it would not.
    fn both(&mut self) -> Vec<u8> {
        let length = self.pick(&["content-length: 4\r\n", "content-length: 100\r\n", "content-length: 0\r\n"]);
        let coding = "transfer-encoding: chunked\r\n";
        let lines = if self.random.random() { format!("{length}{coding}") } else { format!("{coding}{length}") };
        request(&lines, b"5\r\nhello\r\n0\r\n\r\n")
    }

    fn chunks(&mut self) -> Vec<u8> {
        let body = self.pick(&[
            "zz\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloworld\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "5 5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nno colon\0\r\n\r\n\r\n",
        ]);
        request("transfer-encoding: chunked\r\n", body.as_bytes())
    }

    fn huge_head(&mut self) -> Vec<u8> {
        let length = self.random.random_range(5_000..20_000);
        match self.random.random_range(0..3) {
            0 => request(&format!("x: {}\r\n", "a".repeat(length)), b""),
            1 => request(&"x: a\r\n".repeat(length / 4), b""),
            _ => format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(length)).into_bytes(),
        }
    }

    /// Over the limit, and full of what looks like requests.
    fn huge_body(&mut self) -> Vec<u8> {
        let body = NEXT.repeat(self.random.random_range(220..400));
        if self.random.random() {
            return request(&format!("content-length: {}\r\n", body.len()), &body);
        }
        let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        request("transfer-encoding: chunked\r\n", &chunk)
    }

    /// Frames of any kind, whole or not, or what is none.
    fn http2(&mut self) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        if self.random.random() {
            // Settings are what comes first.
            bytes.extend_from_slice(b"\0\0\0\x04\0\0\0\0\0");
        }
        for _ in 0..self.random.random_range(0..20) {
            let payload = self.noise(60);
            let stream = self.random.random_range(0..6);
            bytes.extend_from_slice(&[0, 0, payload.len().to_le_bytes()[0], self.random.random_range(0..11)]);
            bytes.extend_from_slice(&[self.random.random(), 0, 0, 0, stream]);
            bytes.extend_from_slice(&payload);
        }
        bytes.extend_from_slice(&self.noise(60));
        bytes
    }

    /// What is said to a listener with TLS: a request as it is, or the beginning of a handshake that does not go on so.
    fn handshake(&mut self) -> Vec<u8> {
        if self.random.random() {
            return request("", b"");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let kept = self.random.random_range(1..=hello.len());
        hello.truncate(kept);
        [hello, self.noise(100)].concat()
    }

    /// Asks whether it may send too much, and does not wait for an answer.
    fn expecting(&mut self) -> Vec<u8> {
        let length = self.random.random_range(16_385..100_000);
        request(&format!("content-length: {length}\r\nexpect: 100-continue\r\n"), b"")
    }

    /// A good request of which some bytes are others, or missing.
    fn mutated(&mut self) -> Vec<u8> {
        let mut bytes = request("content-length: 5\r\nx: y\r\n", b"hello");
        for _ in 0..self.random.random_range(1..6) {
            let at = self.random.random_range(0..bytes.len());
            if self.random.random() {
                bytes[at] = self.random.random();
            } else {
                bytes.remove(at);
            }
        }
        bytes
    }
}

fn request(lines: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST /echo HTTP/1.1\r\nhost: a\r\n{lines}\r\n").as_bytes(), body].concat()
}
