//! The seam between the command line and the parts of the daemon: configuration, check, supervisor and control API.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::{
    actors::{CallReply, CallRequest},
    bindings::{self, messaging::Broker, metrics::GuestFamily},
    config::{self, Config, ConfigErrors, Environment, Module},
    control::{Action, Bounds, ControlError, Daemon},
    host::{EngineError, Limits, WasmtimeEngine, chain},
    supervisor::{
        self, NoAnswer, NoBroker, NoRun, StartError, SupervisorHandle, SwapError,
        events::Events,
        status::{BindingStatus, ModuleStatus, ReloadReport, Status, SwapReport, TriggerStatus},
    },
    triggers,
};

/// Problems of modules that a start would meet, one a line.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(Vec<String>);

/// Reads and checks a configuration.
///
/// # Errors
/// Every problem in the file.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    config::load(path, &Environment::from_process())
}

/// Does what a start would do before it starts anything: reads and compiles every module and checks it against its
/// limits, those of the drop-in directory too, and the files of certificates, keys, passwords and credentials. Opens no database and
/// binds no socket.
///
/// # Errors
/// Every problem that was found.
pub fn check(config: &Config) -> Result<(), Problems> {
    let settings = supervisor::engine_settings(config);
    let engine = match WasmtimeEngine::new(settings.clone()) {
        Ok(engine) => engine,
        Err(error) => return Err(Problems(vec![engine_problem(error, settings.instances)])),
    };
    let problems = config.modules.iter().flat_map(|module| check_module(&engine, module));
    let credentials = Environment::from_process().credentials_directory;
    let of_triggers = config.triggers.iter().flat_map(|trigger| {
        let problems = triggers::problems(trigger, credentials.as_deref());
        problems.into_iter().map(|error| format!("triggers.{}: {}", trigger.name, chain(&error)))
    });
    let of_bindings = config.bindings.iter().flat_map(|binding| {
        let problems = bindings::problems(binding, credentials.as_deref());
        problems.into_iter().map(|error| format!("bindings.{}: {}", binding.name, chain(&error)))
    });
    let mut problems: Vec<String> = problems
        .chain(of_bindings)
        .chain(of_triggers)
        .map(|problem| format!("{}: {problem}", config.source.display()))
        .collect();
    if let Some(drop_in) = &config.drop_in {
        let (dropped, refused) = supervisor::dropped_modules(config);
        let of_file = |text: String| format!("{}: {text}", drop_in.dir.display());
        problems.extend(refused.iter().map(|file| of_file(format!("{}: {}", file.file, file.why))));
        problems.extend(dropped.iter().flat_map(|module| check_module(&engine, module)).map(of_file));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn engine_problem(source: EngineError, instances: u32) -> String {
    chain(&StartError::Engine { instances, source })
}

fn check_module(engine: &WasmtimeEngine, module: &Module) -> Vec<String> {
    let problem = |text: String| format!("modules.{}: {text}", module.name);
    let mut problems = Vec::new();
    match supervisor::compile(engine, &module.path, module.limits.module_size) {
        Ok(compiled) => {
            let fits = compiled.check_limits(&Limits::from(&module.limits));
            problems.extend(fits.err().map(|error| problem(chain(&error))));
        }
        Err(error) => problems.push(problem(chain(&error))),
    }
    let directories = module.wasi.preopened_dirs.iter().chain(module.wasi.map_dirs.iter().map(|(_, host)| host));
    let missing = directories.filter(|path| !path.is_dir());
    problems.extend(missing.map(|path| problem(format!("WASI directory `{}` is not there", path.display()))));
    problems
}

/// The control API's view of a running daemon.
#[derive(Clone)]
pub struct Controlled(pub SupervisorHandle);

impl Daemon for Controlled {
    fn status(&self) -> BoxFuture<'static, Result<Status, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move { handle.status().await.map_err(|error| no_answer(error, "the status")) })
    }

    fn module(&self, name: String) -> BoxFuture<'static, Result<ModuleStatus, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move { found(handle.module(&name).await, name, "the module's status") })
    }

    fn bindings(&self) -> BoxFuture<'static, Result<Vec<BindingStatus>, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move { handle.bindings().await.map_err(|error| no_answer(error, "the bindings' status")) })
    }

    fn broker(&self, binding: String) -> BoxFuture<'static, Result<Arc<dyn Broker>, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let broker = handle.broker(&binding).await.map_err(|error| no_answer(error, "the binding"))?;
            broker.map_err(|why| match why {
                NoBroker::NoSuchBinding => ControlError::NoSuchBinding(binding),
                NoBroker::NotMessaging(type_name) => ControlError::NoMessages { binding, type_name },
                NoBroker::NotRunning(state) => ControlError::BindingUnavailable { binding, state: state.as_str() },
            })
        })
    }

    fn trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let trigger = handle.trigger(&name).await.map_err(|error| no_answer(error, "the trigger's status"))?;
            trigger.ok_or(ControlError::NoSuchTrigger(name))
        })
    }

    fn act_on_trigger(&self, name: String, action: Action) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let done = match action {
                Action::Start => handle.start_trigger(&name).await,
                Action::Stop => handle.stop_trigger(&name).await,
                Action::Restart => handle.restart_trigger(&name).await,
            };
            match done.map_err(|error| no_answer(error, action.as_str()))? {
                Some(trigger) => Ok(trigger),
                None if handle.trigger(&name).await.is_ok_and(|trigger| trigger.is_some()) => {
                    Err(ControlError::ShuttingDown)
                }
                None => Err(ControlError::NoSuchTrigger(name)),
            }
        })
    }

    fn run_trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let run = handle.run_trigger(&name).await.map_err(|error| no_answer(error, "the trigger"))?;
            run.map_err(|why| match why {
                NoRun::NoSuchTrigger => ControlError::NoSuchTrigger(name.clone()),
                NoRun::NotRunning(state) => {
                    ControlError::TriggerRefused { trigger: name.clone(), why: format!("it is {}", state.as_str()) }
                }
                NoRun::Refused(error) => ControlError::TriggerRefused { trigger: name.clone(), why: error.to_string() },
            })?;
            let trigger = handle.trigger(&name).await.map_err(|error| no_answer(error, "the trigger's status"))?;
            trigger.ok_or(ControlError::NoSuchTrigger(name))
        })
    }

    #[cfg(feature = "fault-injection")]
    fn end_worker(&self, worker: usize) -> BoxFuture<'static, Result<(), ControlError>> {
        let handle = self.0.clone();
        Box::pin(
            async move { handle.end_worker(worker).await.map_err(|error| no_answer(error, "the end of a worker")) },
        )
    }

    fn guest_metrics(&self) -> Vec<GuestFamily> {
        self.0.guest_metrics()
    }

    fn events(&self) -> Events {
        self.0.events()
    }

    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<ModuleStatus, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let done = match action {
                Action::Start => handle.start_module(&name).await,
                Action::Stop => handle.stop_module(&name).await,
                Action::Restart => handle.restart_module(&name).await,
            };
            if matches!(done, Ok(None)) && handle.module(&name).await.is_ok_and(|module| module.is_some()) {
                return Err(ControlError::ShuttingDown);
            }
            found(done, name, action.as_str())
        })
    }

    fn swap(&self, name: String, code: Bytes, force: bool) -> BoxFuture<'static, Result<SwapReport, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move { swapped(handle.swap(&name, code, force).await, name, "the swap") })
    }

    fn roll_back(&self, name: String) -> BoxFuture<'static, Result<SwapReport, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move { swapped(handle.roll_back(&name).await, name, "the rollback") })
    }

    fn reload(&self, dry_run: bool) -> BoxFuture<'static, Result<ReloadReport, ControlError>> {
        let handle = self.0.clone();
        Box::pin(async move {
            let reloaded = handle.reload(dry_run, "an operator asked for it").await;
            let reloaded = reloaded.map_err(|error| no_answer(error, "the reload"))?;
            reloaded.map_err(|problems| ControlError::ReloadRefused { problems })
        })
    }

    fn bounds(&self) -> Bounds {
        let config = self.0.config();
        // What modules may have that are still to come counts too.
        let limits = || config.modules.iter().map(|module| &module.limits).chain([&config.defaults.limits]);
        Bounds {
            payload: limits().map(|limits| limits.payload).max().unwrap_or_default(),
            module_size: limits().map(|limits| limits.module_size).max().unwrap_or_default(),
            call: limits().map(|limits| limits.call_timeout).max().unwrap_or_default(),
            grace: config.daemon.shutdown_grace,
        }
    }

    fn call(&self, module: String, request: CallRequest) -> BoxFuture<'static, CallReply> {
        let handle = self.0.clone();
        Box::pin(async move { handle.call(&module, request).await })
    }
}

fn found(
    module: Result<Option<ModuleStatus>, NoAnswer>,
    name: String,
    what: &str,
) -> Result<ModuleStatus, ControlError> {
    match module {
        Ok(Some(module)) => Ok(module),
        Ok(None) => Err(ControlError::NoSuchModule(name)),
        Err(error) => Err(no_answer(error, what)),
    }
}

fn swapped(
    answer: Result<Option<Result<SwapReport, SwapError>>, NoAnswer>,
    module: String,
    what: &str,
) -> Result<SwapReport, ControlError> {
    match answer {
        Ok(Some(Ok(report))) => Ok(report),
        Ok(Some(Err(SwapError::Refused(why)))) => Err(ControlError::SwapRefused { module, why }),
        Ok(Some(Err(SwapError::Failed(causes)))) => Err(ControlError::SwapFailed { module, causes }),
        Ok(Some(Err(SwapError::NotKept(causes)))) => Err(ControlError::SwapNotKept { module, causes }),
        Ok(None) => Err(ControlError::NoSuchModule(module)),
        Err(error) => Err(no_answer(error, what)),
    }
}

fn no_answer(_: NoAnswer, what: &str) -> ControlError {
    ControlError::NoAnswer { what: what.to_owned(), waited: NoAnswer::WAITED }
}
