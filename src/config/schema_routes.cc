#include <optional>
#include <vector>

#include "config/schema_tables.h"
#include "config/schema_values.h"

namespace outrigger::config {
namespace {

const Record<TextMatch>& text_match_record() {
  using Kind = TextMatch::Kind;
  static const Record<TextMatch> table(
      "Text match", "What a header or query parameter must match. One of these.", "exact",
      {{"exact", text_match(Kind::exact), "Equals this text."},
       {"prefix", text_match(Kind::prefix), "Begins with this text."},
       {"suffix", text_match(Kind::suffix), "Ends with this text."},
       {"regex", text_match(Kind::regex), "Matches this RE2 expression as a whole."},
       {"present", presence(true), "true: present, with any value."},
       {"absent", presence(false), "true: absent."}});
  return table;
}

const Record<Match>& match_record() {
  static const Record<Match> table(
      "Match", "Which requests a route applies to; every given condition must hold.", "service",
      {{"service", &Match::service, service_name(), "The service that is called."},
       {"host", &Match::host, optional(host_pattern()),
        "The host, or '*.example.org' for all its subdomains."},
       {"path", &Match::path, optional(path_pattern()),
        "The path: /exact, /prefix/** for all below /prefix/, or '~ REGEX' (RE2)."},
       {"methods", &Match::methods, list(http_method()), "Any of these methods."},
       {"headers", &Match::headers,
        named_matches("header", check_header_name, record(text_match_record())),
        "What headers must match."},
       {"query", &Match::query, named_matches("parameter", check_line, record(text_match_record())),
        "What query parameters must match."}});
  return table;
}

const Record<Rewrite>& rewrite_record() {
  static const Record<Rewrite> prefix(
      "Prefix", "A prefix of the path and its replacement.", "",
      {{"from", &Rewrite::prefix_from, url_path(), "The prefix to replace.", Flag::required},
       {"to", &Rewrite::prefix_to, url_path(), "Its replacement.", Flag::required}});
  static const Record<Rewrite> table(
      "Rewrite", "Changes the request before it is sent.", "",
      {{"prefix", record(prefix), "Replaces a prefix of the path."},
       {"host", &Rewrite::host, text("host"), "Replaces the Host or :authority header."}});
  return table;
}

const Record<Redirect>& redirect_record() {
  static const Record<Redirect> table(
      "Redirect", "Redirects to another URL. Parts that are not given stay as in the request.",
      "path",
      {{"status", &Redirect::status, redirect_status(), "The status of the response."},
       {"scheme", &Redirect::scheme, one_of({"http", "https"}), "The scheme to redirect to."},
       {"host", &Redirect::host, text("host"), "The host to redirect to."},
       {"path", &Redirect::path, url_path(), "The path to redirect to."}});
  return table;
}

const Record<FixedAnswer>& answer_record() {
  static const Record<FixedAnswer> table(
      "Answer", "Answers without calling a service.", "status",
      {{"status", &FixedAnswer::status, count<int>(200, 599), "The status of the response."},
       {"body", &FixedAnswer::body, answer_body(), "Its body."},
       {"content_type", &FixedAnswer::content_type, header_value(), "Its content-type."}});
  return table;
}

const Record<HeaderEdits>& edits_record() {
  static const Record<HeaderEdits> table(
      "Header edits", "Changes headers; removals come first, then sets, then additions.", "",
      {{"add", &HeaderEdits::add, header_values(), "Adds a value to those that are present."},
       {"set", &HeaderEdits::set, header_values(), "Replaces all values."},
       {"remove", &HeaderEdits::remove, list(editable_header()), "Removes all values."}});
  return table;
}

// A route while it is read: its retry builds on that of the service it goes to.
struct RouteDraft : Route {
  const Draft* draft = nullptr;

  Retry service_retry() const {
    const std::string& to = destinations.empty() ? match.service : destinations[0].service;
    const auto found = draft->services.find(to);
    return found == draft->services.end() ? draft->defaults.retry : found->second.retry;
  }
};

Value<RouteDraft> route_retry() {
  return {record(retry_record()).shape,
          [](Reader& reader, const YamlNode& node, RouteDraft& out) {
            out.retry = out.service_retry();
            retry_record().read(reader, node, *out.retry);
          },
          nullptr};
}

const Record<RouteDraft>& route_record() {
  static const Record<RouteDraft> table(
      "Route", "What happens to some of the requests; the first route that matches applies.", "",
      {{"name", &Route::name, name(), "Its name in logs and metrics; by default its number."},
       {"match", &Route::match, record(match_record()), "Which requests it applies to."},
       {"to", &Route::destinations, destination(),
        "The service, or service/subset, to send requests to; by default the service that is "
        "matched."},
       {"split", &Route::destinations, weighted_destinations(),
        "Several destinations, with percentages that add up to 100%."},
       {"redirect", &Route::redirect, optional(record(redirect_record())),
        "Redirects to another URL."},
       {"answer", &Route::answer, optional(record(answer_record())),
        "Answers without calling a service."},
       {"rewrite", &Route::rewrite, optional(record(rewrite_record())),
        "Changes the path or host."},
       {"request_headers", &Route::request_headers, record(edits_record()),
        "Changes headers of the request."},
       {"response_headers", &Route::response_headers, record(edits_record()),
        "Changes headers of the response."},
       {"timeout", &Route::timeout, optional(duration()), "Instead of the service's."},
       {"retry", route_retry(), "Merged into the service's."},
       {"enabled", &Route::enabled, boolean(), "false disables the route."},
       {"mirror", "Sends a copy elsewhere."},
       {"hedge", "A second attempt before the first has failed."},
       {"rollout", "Moves traffic to a destination step by step."},
       {"fault", "Delays or fails requests on purpose."},
       {"timeout_total", "The time from a request to the end of its response."}});
  return table;
}

// A route does one thing with a request; without any it goes to the service it matches.
void settle_destination(Reader& reader, const YamlNode& node, RouteDraft& route) {
  std::vector<const YamlEntry*> actions;
  for (const char* key : {"to", "split", "redirect", "answer"}) {
    if (const YamlEntry* entry = node.find_entry(key)) actions.push_back(entry);
  }
  for (std::size_t i = 1; i < actions.size(); ++i) {
    reader.error(actions[i]->key, "'" + actions[i]->key.text + "' beside '" + actions[0]->key.text +
                                      "'; a route has only one of to, split, redirect and answer");
  }
  const bool elsewhere = node.find("rollout") != nullptr;
  if (!actions.empty() || elsewhere || !node.is_map()) return;
  if (route.match.service.empty()) {
    reader.error(node, "this route has no action; give it to, split, redirect or answer");
    return;
  }
  route.destinations = {Destination{route.match.service, ""}};
}

}  // namespace

Value<Draft> routes() {
  Shape shape{.kind = Shape::Kind::list, .noun = "list"};
  shape.element = std::make_shared<const Shape>(record(route_record()).shape);
  const auto read = [](Reader& reader, const YamlNode& node, Draft& draft) {
    draft.routes.clear();
    if (!reader.list(node, "routes")) return;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Reader::Step step(reader, i);
      RouteDraft route;
      route.draft = &draft;
      route_record().read(reader, node.items[i], route);
      settle_destination(reader, node.items[i], route);
      draft.routes.push_back(std::move(route));
    }
  };
  return {std::move(shape), read, nullptr};
}

}  // namespace outrigger::config
