#pragma once

// What libevent allocates. It keeps a few bytes for each descriptor that a loop has ever watched
// until the loop ends; between the memory of the connection that came with it, each of them would
// pin a page of a heap that is otherwise free. Here they lie side by side. Any thread.

namespace outrigger::net {

// Once, before any other call of libevent; again is the same as once.
void use_event_memory();

}  // namespace outrigger::net
