//! The HTTP client against servers that mean well, and against those that do not.

mod answers;
mod hostile;
mod redirects;
mod server;
mod tls;
