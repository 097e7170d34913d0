//! Stands between a binding and its server and does what networks do.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::ports;

/// Bytes that are passed on at once.
const CHUNK: usize = 16 * 1024;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They reach the server.
    Pass,
    /// New ones are refused.
    Refuse,
    /// New ones are taken and reset at once.
    Reset,
    /// Everything takes so much longer, in each direction.
    Delay(Duration),
    /// What is sent goes nowhere, and nothing comes back; connections are taken and stay open.
    Swallow,
    /// New ones are reset when so many bytes came from the server.
    CutAfter(usize),
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections of an earlier cut are gone.
    cuts: u64,
}

/// A proxy in front of one server; it goes with its value, and so do its connections.
pub(crate) struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    /// Whether new connections are taken, as the proxy has brought about.
    listens: watch::Receiver<bool>,
    /// Connections that were made so far.
    made: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts one that passes everything on to this port of 127.0.0.1.
    pub(crate) fn to(port: u16) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (state, seen) = watch::channel(State { mode: Mode::Pass, cuts: 0 });
        let (tell, listens) = watch::channel(false);
        let made = Arc::new(AtomicUsize::new(0));
        let proxy = Self { port: ports::free(), state, listens, made: Arc::clone(&made), runtime: Some(runtime) };
        let way = Way { at: local(proxy.port), server: local(port), made };
        proxy.runtime.as_ref().unwrap().spawn(serve(way, seen, tell));
        proxy.wait_until(true);
        proxy
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        local(self.port).to_string()
    }

    /// How many connections were taken so far.
    pub(crate) fn connections(&self) -> usize {
        self.made.load(SeqCst)
    }

    /// Everything reaches the server again; connections that were cut stay so.
    pub(crate) fn pass(&self) {
        self.become_(Mode::Pass);
    }

    /// Nothing listens any more, and connections that were open are reset.
    pub(crate) fn refuse(&self) {
        self.become_(Mode::Refuse);
        self.cut();
    }

    /// New connections are taken and reset at once; open ones too.
    pub(crate) fn reset(&self) {
        self.become_(Mode::Reset);
        self.cut();
    }

    /// Each piece of data takes so much longer, in each direction, on open connections too.
    pub(crate) fn delay(&self, by: Duration) {
        self.become_(Mode::Delay(by));
    }

    /// Everything that is sent is lost, and nothing comes back, on open connections too, which stay open.
    pub(crate) fn swallow(&self) {
        self.become_(Mode::Swallow);
    }

    /// New connections are reset when the server has answered so many bytes, in the middle of what it says.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.become_(Mode::CutAfter(bytes));
    }

    /// Resets the connections that are open now.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    fn become_(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
        self.wait_until(mode != Mode::Refuse);
    }

    /// Waits until it listens, or no longer does.
    fn wait_until(&self, listens: bool) {
        while *self.listens.borrow() != listens {
            super::running::pause();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Where connections come in, where they lead, and how many there were.
struct Way {
    at: SocketAddr,
    server: SocketAddr,
    made: Arc<AtomicUsize>,
}

/// Takes connections while it should.
async fn serve(way: Way, mut state: watch::Receiver<State>, listens: watch::Sender<bool>) {
    while state.wait_for(|state| state.mode != Mode::Refuse).await.is_ok() {
        let listener = TcpListener::bind(way.at).await.unwrap();
        listens.send_replace(true);
        let mut refuses = state.clone();
        let mut refused = std::pin::pin!(refuses.wait_for(|state| state.mode == Mode::Refuse));
        loop {
            tokio::select! {
                biased;
                _ = &mut refused => break,
                accepted = listener.accept() => {
                    let (client, _) = accepted.unwrap();
                    way.made.fetch_add(1, SeqCst);
                    tokio::spawn(connection(client, way.server, state.clone()));
                }
            }
        }
        drop(listener);
        listens.send_replace(false);
    }
}

/// One connection from its first byte to its end.
async fn connection(mut client: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    let State { mode, cuts } = *state.borrow_and_update();
    // A server that is down looks like a proxy that resets.
    let Ok(mut server) = TcpStream::connect(server).await else { return reset(&client) };
    if mode == Mode::Reset {
        return reset(&client);
    }
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let most = if let Mode::CutAfter(bytes) = mode { bytes } else { usize::MAX };
    let ended_well = {
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
        let requests = pump(&mut from_client, &mut to_server, usize::MAX, state.clone());
        let answers = pump(&mut from_server, &mut to_client, most, state.clone());
        tokio::select! {
            _ = state.wait_for(|state| state.cuts != cuts) => false,
            // A direction that breaks ends the other.
            ends = async { tokio::try_join!(requests, answers) } => ends.is_ok(),
        }
    };
    if !ended_well {
        reset(&client);
        reset(&server);
    }
}

/// Passes on what comes, as the state then says, and no more than so many bytes.
async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    mut most: usize,
    state: watch::Receiver<State>,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        let mode = state.borrow().mode;
        if let Mode::Delay(by) = mode {
            tokio::time::sleep(by).await;
        }
        if mode == Mode::Swallow {
            if count == 0 {
                // The other side is not told.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if count == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let passed = count.min(most);
        to.write_all(&buffer[..passed]).await?;
        most -= passed;
        if most == 0 {
            return Err(Broken);
        }
    }
}

/// One side was reset, or the answer was cut.
struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Lets the connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}
