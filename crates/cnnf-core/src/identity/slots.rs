//! Which number stands for which service.

use std::collections::BTreeMap;

use crate::id::{ServiceKey, ServiceKind};
use crate::ruleset::Slot;

/// Services and their slots. A slot is given once and never again, so that a label on a live connection never changes its meaning; the
/// defender keeps them over a restart, and starts anew when the host has booted and no connection is left that carries one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    by_key: BTreeMap<ServiceKey, Slot>,
    by_slot: BTreeMap<Slot, ServiceKey>,
    next: u32,
}

/// All 65,520 slots are taken; further services are `unknown` until the host boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all slots for services are taken: further ones are reported as unknown until the host boots again")]
pub struct Full;

impl Default for Slots {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_slot: BTreeMap::new(), next: u32::from(Slot::FIRST) }
    }
}

impl Slots {
    /// The slot of `key`, a new one if it has none.
    ///
    /// # Errors
    /// [`Full`] if there is no slot left.
    pub fn assign(&mut self, key: &ServiceKey) -> Result<Slot, Full> {
        if let Some(slot) = self.get(key) {
            return Ok(slot);
        }
        let slot = u16::try_from(self.next).ok().and_then(Slot::new).ok_or(Full)?;
        self.next += 1;
        self.by_key.insert(key.clone(), slot);
        self.by_slot.insert(slot, key.clone());
        Ok(slot)
    }

    /// The slot of `key`, if it has one.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Slot> {
        match key.kind() {
            ServiceKind::Kernel => Some(Slot::KERNEL),
            ServiceKind::Unknown => Some(Slot::UNKNOWN),
            ServiceKind::Ambiguous => Some(Slot::AMBIGUOUS),
            _ => self.by_key.get(key).copied(),
        }
    }

    /// The service of `slot`; `unknown` if it was never given.
    #[must_use]
    pub fn key(&self, slot: Slot) -> ServiceKey {
        match slot {
            Slot::KERNEL => ServiceKey::kernel(),
            Slot::AMBIGUOUS => ServiceKey::ambiguous(),
            _ => self.by_slot.get(&slot).cloned().unwrap_or_else(ServiceKey::unknown),
        }
    }

    /// How many there are. They become more and never others.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    /// All services with their slots, for keeping.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, Slot)> {
        self.by_key.iter().map(|(key, slot)| (key, *slot))
    }

    /// What was kept. Of two entries that contradict each other the first counts; reserved numbers are left out.
    #[must_use]
    pub fn restore(kept: impl IntoIterator<Item = (ServiceKey, u16)>) -> Self {
        let mut slots = Self::default();
        for (key, number) in kept {
            let Some(slot) = Slot::new(number).filter(|slot| slot.number() >= Slot::FIRST && key.is_named()) else {
                continue;
            };
            slots.next = slots.next.max(u32::from(number) + 1);
            if !slots.by_key.contains_key(&key) && !slots.by_slot.contains_key(&slot) {
                slots.by_key.insert(key.clone(), slot);
                slots.by_slot.insert(slot, key);
            }
        }
        slots
    }
}
