#include "http/local_reply.h"

#include <algorithm>
#include <array>

namespace outrigger::http {
namespace {

constexpr std::size_t detail_max = 256;
constexpr std::array<std::string_view, 17> grpc_numbers = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

// Visible ASCII without what JSON, headers or percent-encoding would need escapes for.
std::string_view plain_text(Arena& arena, std::string_view text) {
  text = text.substr(0, detail_max);
  if (text.empty()) return {};
  char* to = static_cast<char*>(arena.allocate(text.size(), 1));
  std::transform(text.begin(), text.end(), to, [](char c) {
    if (c == '"') return '\'';
    return c < 0x20 || c > 0x7e || c == '\\' || c == '%' ? '.' : c;
  });
  return {to, text.size()};
}

}  // namespace

int grpc_status_for(int http_status) {
  switch (http_status) {
    case 400:
      return 13;  // INTERNAL
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
    case 501:
      return 12;  // UNIMPLEMENTED
    case 408:
      return 4;
    case 413:
    case 431:
      return 8;  // RESOURCE_EXHAUSTED
    case 429:
    case 502:
    case 503:
      return 14;  // UNAVAILABLE
    case 504:
      return 4;  // DEADLINE_EXCEEDED
    default:
      return 2;  // UNKNOWN
  }
}

LocalReply make_local_reply(Arena& arena, int status, Flag flag, std::string_view detail,
                            bool grpc) {
  LocalReply reply;
  const std::string_view what = flag == Flag::none ? std::string_view("refused") : describe(flag);
  const std::string_view safe = plain_text(arena, detail);
  if (grpc) {
    reply.status = 200;
    reply.grpc_status = grpc_status_for(status);
    reply.content_type = "application/grpc";
    const std::string_view text = safe.empty() ? what : arena.concat(what, ": ", safe);
    reply.message = flag == Flag::none ? text : arena.concat(letters(flag), ": ", text);
    return reply;
  }
  reply.status = status;
  reply.content_type = "application/json";
  std::string_view body = arena.concat(R"({"error":")", what, R"(","flag":")");
  body = arena.concat(body, letters(flag), R"(")");
  if (!safe.empty()) body = arena.concat(arena.concat(body, R"(,"detail":")"), safe, R"(")");
  reply.body = arena.concat(body, "}\n");
  return reply;
}

void fill_reply_head(Head& head, const LocalReply& reply, Flag flag, std::string_view date) {
  head.status = reply.status;
  head.fields.add(Known::server, "outrigger");
  if (!date.empty()) head.fields.add(Known::date, date);
  head.fields.add(Known::content_type, reply.content_type);
  add_reply_fields(head.fields, reply, flag);
  if (reply.grpc_status < 0) head.content_length = reply.body.size();
}

void add_reply_fields(Fields& fields, const LocalReply& reply, Flag flag) {
  if (flag != Flag::none) fields.add(Known::x_outrigger_flag, letters(flag));
  if (reply.grpc_status < 0) return;
  fields.add(Known::grpc_status, grpc_numbers[static_cast<std::size_t>(reply.grpc_status)]);
  fields.add(Known::grpc_message, reply.message);
}

}  // namespace outrigger::http
