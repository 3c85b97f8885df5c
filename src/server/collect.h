#pragma once

// Metrics whose values live in the daemon's parts rather than in cells: endpoints, breakers,
// certificates, configuration. Asked at each scrape, on the scraping thread. Anybody who can
// reach a metrics port can trigger it, so it only reads the snapshot and what may be read from any
// thread; workers are not involved, and the cost is linear.

#include "base/time.h"
#include "server/admin_facts.h"
#include "server/shared.h"
#include "telemetry/scrape.h"

namespace outrigger::server {

void collect_facts(telemetry::Scrape& scrape, AdminFacts& facts, Shared& shared, WallTime now);

}  // namespace outrigger::server
