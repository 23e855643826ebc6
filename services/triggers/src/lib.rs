//! Webhook ingress, delivery inbox, rule matching and repository polling.
