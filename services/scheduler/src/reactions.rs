//! From events of other services to commands of this one.

use std::sync::Arc;

use shipway_service_kit::Lifecycle;

use crate::service::{Shared, StartError};

pub(crate) async fn start(_: &Arc<Shared>, _: &Lifecycle) -> Result<(), StartError> {
    Ok(())
}
