//! A second engine, in plain Rust: a guest is a table of steps. It shows what an engine has to do, and that the trait is
//! no mould of wasmtime.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wapcd::host::{
    Callback, GuestExit, HostCallNames, HostCallStep, LoadError, ModuleHost, ModuleState, Running, Trap, TrapKind,
    WebAssemblyEngineProvider,
};

/// What a scripted guest does, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Takes the payload for the response.
    Respond,
    /// Takes the payload for the error.
    Fail,
    /// Calls the host with the payload; what comes back is the new payload, and an error ends the call with it.
    CallHost,
    /// Responds with the number of calls so far.
    Count,
    /// Gives the host a pointer outside of its memory.
    Wild,
    Trap,
    /// Spins until the deadline.
    Spin,
    Return(i32),
}

/// The steps of an operation; `_start` is what runs at the start.
pub(crate) type Script = fn(&str) -> &'static [Step];

/// Runs a script. `find` turns bytes into one, as another engine compiles them.
pub(crate) struct Scripted {
    script: Script,
    find: fn(&[u8]) -> Option<Script>,
    instance: Option<Instance>,
}

struct Instance {
    script: Script,
    state: ModuleState,
    memory: Vec<u8>,
    calls: u8,
}

impl Scripted {
    pub(crate) fn new(script: Script, find: fn(&[u8]) -> Option<Script>) -> Self {
        Self { script, find, instance: None }
    }

    fn start(&mut self, script: Script, state: ModuleState) -> Running<'_, (), LoadError> {
        let waits = matches!(state.callback(), Callback::Async(_));
        let mut instance = Instance { script, state, memory: vec![0; 65_536], calls: 0 };
        settle(waits, async move {
            let started = instance.run(script("_start"), (0, 0)).await;
            started.map_err(|exit| LoadError::Start { function: "_start", exit })?;
            self.script = script;
            self.instance = Some(instance);
            Ok(())
        })
    }
}

impl WebAssemblyEngineProvider for Scripted {
    fn init(&mut self, state: ModuleState) -> Running<'_, (), LoadError> {
        self.instance = None;
        self.start(self.script, state)
    }

    fn call(&mut self, operation_len: u32, payload_len: u32) -> Running<'_, i32, GuestExit> {
        let instance = self.instance.as_mut().unwrap();
        instance.calls += 1;
        let waits = matches!(instance.state.callback(), Callback::Async(_));
        settle(waits, async move {
            instance.state.guest_request(&mut instance.memory, 0, operation_len)?;
            let operation = String::from_utf8_lossy(&instance.memory[..operation_len as usize]).into_owned();
            instance.run((instance.script)(&operation), (operation_len, payload_len)).await
        })
    }

    fn replace(&mut self, bytes: &[u8], state: ModuleState) -> Running<'_, (), LoadError> {
        match (self.find)(bytes) {
            Some(script) => self.start(script, state),
            None => Running::Done(Err(LoadError::NotAModule("no such script".to_owned()))),
        }
    }

    fn state(&mut self) -> Option<&mut ModuleState> {
        self.instance.as_mut().map(|instance| &mut instance.state)
    }
}

impl Instance {
    async fn run(&mut self, steps: &[Step], (mut at, mut len): (u32, u32)) -> Result<i32, GuestExit> {
        let Self { state, memory, calls, .. } = self;
        for step in steps {
            state.check_deadline()?;
            match step {
                Step::Respond => state.guest_response(memory, at, len)?,
                Step::Fail => state.guest_error(memory, at, len)?,
                Step::CallHost => {
                    let name = (0, 1);
                    let parts = HostCallNames { binding: name, namespace: name, operation: name, payload: (at, len) };
                    let returned = match state.host_call(memory, parts)? {
                        HostCallStep::Done(returned) => returned,
                        HostCallStep::Wait(pending) => state.finish_host_call(pending.await)?,
                    };
                    at = 1024;
                    if returned == 0 {
                        state.host_error(memory, at)?;
                        state.guest_error(memory, at, state.host_error_len())?;
                        return Ok(0);
                    }
                    state.host_response(memory, at)?;
                    len = state.host_response_len();
                }
                Step::Count => {
                    memory[0] = *calls;
                    state.guest_response(memory, 0, 1)?;
                }
                Step::Wild => state.guest_response(memory, u32::MAX, 9)?,
                Step::Trap => {
                    let message = "a scripted trap".to_owned();
                    let trap = Trap { kind: TrapKind::Unreachable, message, backtrace: Vec::new(), guest_error: None };
                    return Err(GuestExit::Trapped(Box::new(trap)));
                }
                Step::Spin => loop {
                    state.check_deadline()?;
                },
                Step::Return(number) => return Ok(*number),
            }
        }
        Ok(1)
    }
}

/// A future for asynchronous callbacks; with others nothing waits, and it is over when it was polled once.
fn settle<'a, T, E>(waits: bool, work: impl Future<Output = Result<T, E>> + Send + 'a) -> Running<'a, T, E> {
    if waits {
        return Running::Pending(Box::pin(work));
    }
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Running::Done(result),
        Poll::Pending => unreachable!("a plain callback answers at once"),
    }
}
