#pragma once

// The process's heap as a whole.

namespace outrigger {

// Gives free memory of the heap back to the system. May take milliseconds, during which other
// threads' larger allocations wait: for a thread that has time, after much has been freed.
void release_free_heap();

}  // namespace outrigger
