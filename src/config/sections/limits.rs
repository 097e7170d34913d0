//! `[defaults.limits]` and `[modules.NAME.limits]`: what a guest may take.

use crate::config::{bounds, model::ModuleLimits, reader::Section};

/// Reads it over the values that hold where it is silent.
pub(in crate::config) fn read(section: Option<Section<'_>>, base: &ModuleLimits) -> ModuleLimits {
    let Some(section) = section else {
        return base.clone();
    };
    let limits = ModuleLimits {
        module_size: section.or("module_size", base.module_size, |node| node.size(&bounds::MODULE_SIZE)),
        memory: section.or("memory", base.memory, |node| node.size(&bounds::MEMORY)),
        table_elements: section
            .or("table_elements", base.table_elements, |node| node.count(&bounds::TABLE_ELEMENTS).map(u64::from)),
        call_timeout: section.or("call_timeout", base.call_timeout, |node| node.time(&bounds::CALL_TIMEOUT)),
        payload: section.or("payload", base.payload, |node| node.size(&bounds::PAYLOAD)),
        response: section.or("response", base.response, |node| node.size(&bounds::RESPONSE)),
    };
    section.finish();
    limits
}
