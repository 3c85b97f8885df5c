#include "http/h2_library.h"

#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "http/h2_session.h"

namespace outrigger::http {
namespace {

H2Session& session_of(void* user_data) {
  return *static_cast<H2Session*>(user_data);
}

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  session_of(user).on_begin_headers(*frame);
  return 0;
}

int on_data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                  std::size_t size, void* user) {
  session_of(user).on_data_chunk(id, text_of(data, size));
  return 0;
}

int on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  session_of(user).on_frame_received(*frame);
  return 0;
}

int on_invalid_frame_recv(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
  session_of(user).on_invalid_frame(*frame);
  return 0;
}

int on_frame_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  session_of(user).on_frame_sent(*frame);
  return 0;
}

int on_frame_not_send(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
  session_of(user).on_frame_not_sent(*frame);
  return 0;
}

int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
  session_of(user).on_stream_closed(id, code);
  return 0;
}

int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* header, std::size_t,
              nghttp2_data_source* source, void* user) {
  session_of(user).on_send_data(*static_cast<H2Stream*>(source->ptr), *frame,
                                text_of(header, H2FrameHeader::size));
  return 0;
}

// Shared by all sessions of the process; built once and never changed.
struct Setup {
  Setup() {
    check(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0,
          "no memory for nghttp2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);

    // We manage the windows. Magic, fields and floods are checked before or after the library; its
    // own limits must only not get in the way, and its token buckets would read the real clock.
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_recv_client_magic(options, 1);
    nghttp2_option_set_no_http_messaging(options, 1);
    nghttp2_option_set_max_outbound_ack(options, 100'000);
    nghttp2_option_set_max_settings(options, 16384 / 6);
    nghttp2_option_set_stream_reset_rate_limit(options, 1U << 30, 1U << 30);
    nghttp2_option_set_max_continuations(options, 1000);
    // It sees nothing but empty lists: HpackEncoder and HpackDecoder do the rest.
    nghttp2_option_set_max_deflate_dynamic_table_size(options, 0);
  }
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;
  ~Setup() {
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
  }

  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
};

void* mem_malloc(std::size_t size, void* memory) {
  return static_cast<H2Memory*>(memory)->allocate(size);
}

void mem_free(void* pointer, void* memory) {
  static_cast<H2Memory*>(memory)->release(pointer);
}

void* mem_calloc(std::size_t count, std::size_t size, void* memory) {
  void* pointer = static_cast<H2Memory*>(memory)->allocate(count * size);
  return std::memset(pointer, 0, count * size);
}

void* mem_realloc(void* pointer, std::size_t size, void* memory) {
  return static_cast<H2Memory*>(memory)->reallocate(pointer, size);
}

const Setup& setup_of_all() {
  static const Setup setup;
  return setup;
}

void note_allocation(void* counts, std::size_t size) {
  auto& seen = *static_cast<H2Allocations*>(counts);
  if (size == 1024) ++seen.of_a_header_table;
  if (size >= 16 * 1024) ++seen.of_a_frame;
}

void* counting_malloc(std::size_t size, void* counts) {
  note_allocation(counts, size);
  return std::malloc(size);
}

// Makes a session only to record its allocations.
H2Allocations allocations_of_a_session(bool server) {
  H2Allocations seen;
  nghttp2_mem mem{&seen, counting_malloc, [](void* pointer, void*) { std::free(pointer); },
                  [](std::size_t count, std::size_t size, void* counts) {
                    void* pointer = counting_malloc(count * size, counts);
                    return pointer == nullptr ? pointer : std::memset(pointer, 0, count * size);
                  },
                  [](void* pointer, std::size_t size, void* counts) {
                    note_allocation(counts, size);  // this is how it gets the frame buffer
                    return std::realloc(pointer, size);
                  }};
  const Setup& setup = setup_of_all();
  nghttp2_session* made = nullptr;
  const auto make = server ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
  if (make(&made, setup.callbacks, nullptr, setup.options, &mem) != 0) return {};
  nghttp2_session_del(made);
  return seen;
}

}  // namespace

bool may_share(int version, const H2Allocations& allocations) {
  constexpr int known = 0x013400;
  return version == known && allocations.of_a_header_table == 2 && allocations.of_a_frame == 1;
}

bool library_shares() {
  static const bool shares = [] {
    const int version = nghttp2_version(0)->version_num;
    return may_share(version, allocations_of_a_session(true)) &&
           may_share(version, allocations_of_a_session(false));
  }();
  return shares;
}

H2SessionPtr make_h2_session(bool server, H2Session& session, H2Memory& memory,
                             void*& stream_table) {
  const Setup& setup = setup_of_all();
  stream_table = nullptr;
  nghttp2_mem mem{&memory, mem_malloc, mem_free, mem_calloc, mem_realloc};
  std::optional<H2Memory::CreatingSession> creating;
  if (memory.may_share() && library_shares()) creating.emplace(memory, stream_table);
  nghttp2_session* made = nullptr;
  const auto make = server ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
  check(make(&made, setup.callbacks, &session, setup.options, &mem) == 0, "no nghttp2 session");
  return H2SessionPtr(made);
}

}  // namespace outrigger::http
