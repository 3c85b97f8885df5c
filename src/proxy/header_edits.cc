#include "proxy/header_edits.h"

namespace outrigger::proxy {
namespace {

http::Field field_of(std::string_view name, std::string_view value) {
  return {name, value, http::recognise(name)};
}

void remove(http::Fields& fields, const http::Field& field) {
  if (field.known != http::Known::other) {
    fields.remove(field.known);
  } else {
    fields.remove(field.name);
  }
}

}  // namespace

HeaderEdits::HeaderEdits(const config::HeaderEdits& config) {
  for (const std::string& name : config.remove) remove_.push_back(field_of(name, {}));
  for (const auto& [name, value] : config.set) set_.push_back(field_of(name, value));
  for (const auto& [name, value] : config.add) add_.push_back(field_of(name, value));
}

void HeaderEdits::apply(http::Fields& fields) const {
  for (const http::Field& f : remove_) remove(fields, f);
  for (const http::Field& f : set_) {
    remove(fields, f);
    fields.add(f);
  }
  for (const http::Field& f : add_) fields.add(f);
}

}  // namespace outrigger::proxy
