//! Requests that change what the daemon runs: `swap` and `rollback` of a module, and `reload` of the configuration.
//!
//! Each may take as long as compiling takes, and a swap holds a whole module meanwhile. So each takes a place first, before
//! its body is read; who finds none is told to come again. What was begun is carried out also when its client goes, and keeps
//! its place until then, so that what the daemon works on at one time is bounded by the places.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{self, Data},
};
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{
    body,
    daemon::ControlError,
    problem::Problem,
    query,
    routes::{Api, bounded, json, target},
    slots::busy,
};

/// Answers with the module after it got the code in the body.
pub(super) async fn swap(api: Data<Api>, request: HttpRequest, code: web::Payload) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    swap_module(&api, &request, code, &name).await.map_err(|problem| problem.about(&name))
}

async fn swap_module(
    api: &Api,
    request: &HttpRequest,
    code: web::Payload,
    name: &str,
) -> Result<HttpResponse, Problem> {
    let force = query::only_flag(request.query_string(), "force")?;
    let place = api.swaps.take(name)?;
    let (bounds, waits) = (api.daemon.bounds(), api.settings.waits);
    let code = body::read(request, code, &waits.code(bounds)).await?;
    let what = format!("the swap of module `{name}`");
    carry_out(what, waits.change(bounds), api.daemon.swap(name.to_owned(), code, force), place).await
}

/// Answers with the module after it got the code back that ran before.
pub(super) async fn roll_back(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    roll_back_module(&api, &request, &name).await.map_err(|problem| problem.about(&name))
}

async fn roll_back_module(api: &Api, request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    query::nothing(request.query_string())?;
    let place = api.rollbacks.take(name)?;
    let limit = api.settings.waits.change(api.daemon.bounds());
    let what = format!("the rollback of module `{name}`");
    carry_out(what, limit, api.daemon.roll_back(name.to_owned()), place).await
}

/// Answers with what the configuration changed, or would change.
pub(super) async fn reload(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let dry_run = query::only_flag(request.query_string(), "dry_run")?;
    let places = api.settings.max_changes;
    let place = api.reloads.clone().try_acquire_owned();
    let place = place.map_err(|_full| busy(format!("{places} reloads are waiting already")))?;
    let limit = api.settings.waits.change(api.daemon.bounds());
    carry_out("the reload of the configuration".to_owned(), limit, api.daemon.reload(dry_run), place).await
}

/// Waits for a change, in a task of its own, which nobody who goes away can end.
async fn carry_out<T: Serialize + 'static>(
    what: String,
    limit: Duration,
    change: BoxFuture<'static, Result<T, ControlError>>,
    place: impl Send + 'static,
) -> Result<HttpResponse, Problem> {
    let work = rt::spawn(async move {
        let done = bounded(&what, limit, change).await;
        drop(place);
        done
    });
    // A panic is caught within, so only the end of the server's thread ends the task.
    json(&work.await.map_err(|_ended| ControlError::ShuttingDown)???)
}
