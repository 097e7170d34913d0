//! The task that has the program, from its start to its end, and the order in which things end.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use rustix::process::Signal;
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    process::{ChildStdin, ChildStdout},
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{
    child::{Pipes, Program, Running},
    frames::{self, FrameError},
    protocol::{self, OVERHEAD, Said},
    session::Session,
    stderr::{self, LastLine},
};
use crate::{
    bindings::BindingContext,
    config::{Binding, ProcessSettings, Shutdown},
    host::{BoxError, chain},
};

/// How long what a program wrote before its end is still read. It is in the pipes, so this is met only where a process that
/// left the group keeps them open; and on a machine so busy that these threads do not run for so long, its last line would be
/// missing just when somebody looks for it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The same of a program that may still run: nobody knows whether there are any.
const LAST_WORDS_IN_LIFE: Duration = Duration::from_millis(200);

/// How long a program that closed its input or output may take to end by itself, so that its status can be told.
const GOING: Duration = Duration::from_secs(1);

/// What to start, and within which bounds.
#[derive(Debug)]
pub(super) struct Plan {
    binding: Arc<str>,
    program: Program,
    start_timeout: Duration,
    shutdown: Shutdown,
    /// Bytes of one message of the program.
    max_message: u32,
}

impl Plan {
    pub(super) fn new(binding: &Binding, settings: &ProcessSettings, context: &BindingContext) -> Self {
        let most = binding.limits.max_response.saturating_add(OVERHEAD);
        Self {
            binding: Arc::clone(&binding.name),
            program: Program { settings: settings.clone(), directory: context.state_dir.clone() },
            start_timeout: settings.start_timeout,
            shutdown: binding.shutdown,
            max_message: u32::try_from(most).unwrap_or(u32::MAX),
        }
    }
}

/// What the task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Keep the program.
    Keep,
    /// End it.
    Stop,
}

/// The way to the task.
pub(super) struct Keeper {
    order: watch::Sender<Order>,
    ended: watch::Receiver<Option<Arc<str>>>,
    over: Arc<(Mutex<bool>, Condvar)>,
}

impl Keeper {
    /// Starts the program on these threads; `told` hears whether it is ready.
    pub(super) fn start(
        io: &Handle,
        plan: Plan,
        session: Arc<Session>,
        told: mpsc::SyncSender<Result<(), BoxError>>,
    ) -> Self {
        let (order, orders) = watch::channel(Order::Keep);
        let (end, ended) = watch::channel(None);
        let over = Over(Arc::default());
        let keeper = Self { order, ended, over: Arc::clone(&over.0) };
        io.spawn(async move {
            let _over = over;
            let why = keep(plan, &session, orders, told).await;
            session.end(&why);
            end.send_replace(Some(why));
        });
        keeper
    }

    /// Tells the task what to do.
    pub(super) fn order(&self, order: Order) {
        self.order.send_replace(order);
    }

    /// Resolves with how the program ended.
    pub(super) fn ended(&self) -> BoxFuture<'static, String> {
        let mut ended = self.ended.clone();
        Box::pin(async move {
            match ended.wait_for(Option::is_some).await {
                Ok(why) => why.as_deref().unwrap_or_default().to_owned(),
                Err(_gone) => "nobody keeps it any more".to_owned(),
            }
        })
    }

    /// Waits until the program has ended. Blocks.
    pub(super) fn wait(&self) {
        let (over, told) = &*self.over;
        let mut over = over.lock();
        while !*over {
            told.wait(&mut over);
        }
    }
}

/// Tells whoever blocks that the task is over, however it ends.
struct Over(Arc<(Mutex<bool>, Condvar)>);

impl Drop for Over {
    fn drop(&mut self) {
        let (over, told) = &*self.0;
        *over.lock() = true;
        told.notify_all();
    }
}

/// Has the program from its start to its end; says how it ended.
async fn keep(
    plan: Plan,
    session: &Arc<Session>,
    orders: watch::Receiver<Order>,
    told: mpsc::SyncSender<Result<(), BoxError>>,
) -> Arc<str> {
    let tell = |started| {
        // Whoever started it may have given up.
        told.send(started).ok();
    };
    let (running, Pipes { mut stdin, mut stdout, stderr }) = match plan.program.start() {
        Ok(started) => started,
        Err(error) => {
            let why = error.to_string().into();
            tell(Err(error.into()));
            return why;
        }
    };
    let (binding, pid) = (Arc::clone(&plan.binding), running.pid.as_raw_nonzero().get());
    let last = LastLine::default();
    let log = tokio::spawn(stderr::log(Arc::clone(&binding), pid, stderr, Arc::clone(&last)));
    let mut aftermath = Aftermath { binding, pid, log, last };
    tracing::info!(binding = &*plan.binding, pid, "program started");
    let shaken = tokio::select! {
        biased;
        shaken = timeout(plan.start_timeout, shake_hands(&plan, &mut stdin, &mut stdout)) => shaken.unwrap_or_else(|_elapsed| {
            Err(Failing::Wrong(format!("it was not ready within {} ms", plan.start_timeout.as_millis())))
        }),
        () = running.exited() => Err(Failing::Ended(None)),
    };
    match shaken {
        Ok(operations) => session.ready(operations),
        Err(failing) => {
            let why = aftermath.of(running, failing).await;
            tell(Err(why.to_string().into()));
            return why;
        }
    }
    tell(Ok(()));
    let failing = serve(&plan, session, &running, (stdin, stdout), orders).await;
    aftermath.of(running, failing).await
}

/// Lets the program answer until its time is over; says why it is.
async fn serve(
    plan: &Plan,
    session: &Arc<Session>,
    running: &Running,
    (stdin, stdout): (ChildStdin, ChildStdout),
    mut orders: watch::Receiver<Order>,
) -> Failing {
    let (answers, most) = (Arc::clone(session), plan.max_message);
    let mut writer = Task(tokio::spawn(write(stdin, Arc::clone(session))));
    let mut reader = Task(tokio::spawn(async move { read(stdout, most, &answers).await }));
    // Nobody has the binding any more where this fails: then nobody waits either.
    let told_to_stop = async { orders.wait_for(|order| *order == Order::Stop).await.is_ok() };
    let (failing, patience) = tokio::select! {
        biased;
        failing = &mut reader.0 => return failing.unwrap_or_else(|panic| Failing::Wrong(panic.to_string())),
        _ = &mut writer.0 => (Failing::Ended(None), LAST_WORDS_IN_LIFE),
        () = running.exited() => {
            // What it has started ends with it, and keeps its output open no longer.
            running.signal(Signal::KILL);
            (Failing::Ended(None), LAST_WORDS)
        }
        in_order = told_to_stop => {
            session.close();
            stop_in_order(running, if in_order { plan.shutdown } else { Shutdown::Kill }).await;
            (Failing::Stopped, LAST_WORDS_IN_LIFE)
        }
    };
    // What it answered before it ended counts.
    match (failing, timeout(patience, &mut reader.0).await) {
        (Failing::Ended(None), Ok(Ok(wrong))) => wrong,
        (failing, _) => failing,
    }
}

/// Why a program's time is over.
enum Failing {
    /// It ends, or is about to, by itself; within a message, if there is a text.
    Ended(Option<String>),
    /// It did this, and must end.
    Wrong(String),
    /// It was told to.
    Stopped,
}

/// What is left to do when a program ends.
struct Aftermath {
    binding: Arc<str>,
    pid: i32,
    log: JoinHandle<()>,
    last: LastLine,
}

impl Aftermath {
    /// Ends the process and its group, and says how it ended.
    async fn of(&mut self, running: Running, failing: Failing) -> Arc<str> {
        let by_itself = match failing {
            Failing::Ended(_) => timeout(GOING, running.exited()).await.is_ok(),
            Failing::Wrong(_) | Failing::Stopped => false,
        };
        let exit = running.reap().await;
        let patience = if matches!(failing, Failing::Stopped) { LAST_WORDS_IN_LIFE } else { LAST_WORDS };
        if timeout(patience, &mut self.log).await.is_err() {
            self.log.abort();
        }
        let (binding, pid, last) = (&*self.binding, self.pid, self.last.lock().clone());
        let why = match failing {
            Failing::Stopped => {
                tracing::info!(binding, pid, %exit, "program stopped");
                return format!("it was stopped: {exit}").into();
            }
            Failing::Wrong(wrong) => wrong,
            Failing::Ended(None) if by_itself => exit.to_string(),
            Failing::Ended(None) => "it closed its input or output, and did not end".to_owned(),
            Failing::Ended(Some(half)) => format!("{half}: {exit}"),
        };
        tracing::warn!(binding, pid, %exit, why, last, "program ended");
        match last {
            Some(last) => format!("{why}; its last line: {last}").into(),
            None => why.into(),
        }
    }
}

/// Says hello and waits for the answer; the operations that the program names.
async fn shake_hands(
    plan: &Plan,
    stdin: &mut ChildStdin,
    stdout: &mut ChildStdout,
) -> Result<Option<Vec<String>>, Failing> {
    let hello = protocol::hello(&plan.binding, plan.max_message).map_err(|error| Failing::Wrong(error.to_string()))?;
    if frames::write(stdin, &hello).await.is_err() {
        return Err(Failing::Ended(None));
    }
    match frames::read(stdout, plan.max_message).await {
        Ok(Some(message)) => match protocol::read(&message).map_err(Failing::Wrong)? {
            Said::Ready { operations } => Ok(operations),
            Said::Reply { .. } | Said::Pong(_) => {
                Err(Failing::Wrong("its first message was not that it is ready".to_owned()))
            }
        },
        Ok(None) => Err(Failing::Ended(None)),
        Err(error) => Err(of_frame(&error)),
    }
}

fn of_frame(error: &FrameError) -> Failing {
    match error {
        FrameError::Half { .. } => Failing::Ended(Some(error.to_string())),
        FrameError::Length { .. } | FrameError::Read(_) => Failing::Wrong(chain(error)),
    }
}

/// Reads answers until the end.
async fn read(mut stdout: ChildStdout, most: u32, session: &Session) -> Failing {
    loop {
        let message = match frames::read(&mut stdout, most).await {
            Ok(Some(message)) => message,
            Ok(None) => return Failing::Ended(None),
            Err(error) => return of_frame(&error),
        };
        if let Err(wrong) = protocol::read(&message).and_then(|said| session.take(said)) {
            return Failing::Wrong(wrong);
        }
    }
}

/// Writes requests until there are none any more, or nobody reads them; then the program's input ends.
async fn write(stdin: ChildStdin, session: Arc<Session>) {
    let mut stdin = BufWriter::new(stdin);
    while let Some((message, more)) = session.next().await {
        let written = async {
            frames::write(&mut stdin, &message).await?;
            if more { Ok(()) } else { stdin.flush().await }
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "a program has closed its input");
            return;
        }
    }
}

/// Lets the program end by itself, then asks it to, then makes it. Its input ends when everything that was accepted is written.
async fn stop_in_order(running: &Running, shutdown: Shutdown) {
    let patience = match shutdown {
        Shutdown::Kill => return,
        Shutdown::Infinity => return running.exited().await,
        Shutdown::After(patience) => patience,
    };
    // The last quarter is for the kill, so that all of it lies within the time.
    if timeout(patience / 2, running.exited()).await.is_err() {
        running.signal(Signal::TERM);
        timeout(patience / 4, running.exited()).await.ok();
    }
}

/// A task that ends when this is dropped.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
