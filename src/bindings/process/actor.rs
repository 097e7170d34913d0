//! Passes host calls to the program. Owns the way to it, and its end.

use std::{
    sync::{Arc, mpsc},
    time::{Instant, SystemTime},
};

use futures_util::future::BoxFuture;

use super::{
    keeper::{Keeper, Order, Plan},
    session::Session,
};
use crate::{
    bindings::{
        Answer, BackendState, BackendStatus, Binding, BindingCall, BindingContext, BindingError, BindingFactory, Check,
    },
    config::{self, ProcessSettings},
    host::BoxError,
};

/// Makes the `process` binding of each worker over the one program.
pub(super) struct ProcessFactory {
    session: Arc<Session>,
    since: SystemTime,
    keeper: Keeper,
}

impl ProcessFactory {
    /// Starts the program and waits until it is ready, at most for its `start_timeout`.
    pub(super) fn start(
        binding: &config::Binding,
        settings: &ProcessSettings,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let name = Arc::clone(&binding.name);
        let io = context.io.handle_for(&name)?;
        let session = Session::new(Arc::clone(&name));
        let plan = Plan::new(binding, settings, context);
        let (told, heard) = mpsc::sync_channel(1);
        // On those threads from its beginning: a program ends with the thread that started it.
        let keeper = Keeper::start(&io, plan, Arc::clone(&session), told);
        let started: Result<(), BoxError> = match heard.recv() {
            Ok(started) => started,
            Err(gone) => Err(gone.into()),
        };
        let what = format!("start the program `{}`", settings.command.display());
        started.map_err(|source| BindingError::Backend { binding: name, what, source })?;
        Ok(Self { session, since: SystemTime::now(), keeper })
    }
}

impl BindingFactory for ProcessFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Process(Arc::clone(&self.session)))
    }

    fn check(&self) -> Option<Check> {
        let (pong, since) = (self.session.ping(), Instant::now());
        let session = Arc::clone(&self.session);
        Some(Box::pin(async move {
            let answer = match pong {
                Ok(pong) => pong.await,
                Err(error) => Err(error),
            };
            answer.map(|_pong| ()).map_err(|error| {
                // Whoever asks is told more than guests are.
                let why = session.ended().map_or(error.message, |why| why.to_string());
                format!("{why} after {} ms", since.elapsed().as_millis())
            })
        }))
    }

    fn backend(&self) -> Option<BackendStatus> {
        let why = self.session.ended().map(|why| why.to_string());
        let state = if why.is_some() { BackendState::Disconnected } else { BackendState::Connected };
        Some(BackendStatus { state, since: self.since, why, next_try: None, tries: 0 })
    }

    fn ended(&self) -> Option<BoxFuture<'static, String>> {
        Some(self.keeper.ended())
    }

    fn stop(&self) {
        self.keeper.order(Order::Stop);
        self.keeper.wait();
    }
}

struct Process(Arc<Session>);

impl Binding for Process {
    fn call(&self, call: BindingCall) -> Answer {
        match self.0.submit(&call) {
            Ok(ticket) => Answer::Later(Box::pin(ticket)),
            Err(error) => error.into(),
        }
    }
}
