#pragma once

// The process's heap as a whole.

namespace outrigger {

// Gives back what is free at the end of this thread's heap, which release_free_heap() leaves alone:
// small blocks that were freed beside it are joined to it first. Microseconds.
void release_top_of_heap();
// Gives free memory of the heap back to the system. May take milliseconds, during which other
// threads' larger allocations wait: for a thread that has time, after much has been freed.
void release_free_heap();

}  // namespace outrigger
