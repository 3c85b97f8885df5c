// A machine goes where its table says and nowhere else.

#include "base/state_table.h"

#include <gtest/gtest.h>

namespace outrigger {
namespace {

enum class Light { red, green, broken };
enum class LightEvent { go, stop, fail };

constexpr StateTable<Light, LightEvent, 4> light_table{{{
    {Light::red, LightEvent::go, Light::green},
    {Light::green, LightEvent::stop, Light::red},
    {Light::red, LightEvent::fail, Light::broken},
    {Light::green, LightEvent::fail, Light::broken},
}}};

TEST(StateTableTest, finds_what_is_there) {
  static_assert(light_table.find(Light::red, LightEvent::go)->to == Light::green);
  static_assert(light_table.find(Light::broken, LightEvent::go) == nullptr);
  EXPECT_EQ(light_table.find(Light::green, LightEvent::go), nullptr);
}

TEST(StateTableTest, a_machine_follows_it) {
  Machine<light_table> light(Light::red);
  EXPECT_TRUE(light.allows(LightEvent::go));
  EXPECT_FALSE(light.allows(LightEvent::stop));
  light.on(LightEvent::go);
  EXPECT_TRUE(light.is(Light::green));
  light.on(LightEvent::stop);
  light.on(LightEvent::fail);
  EXPECT_EQ(light.state(), Light::broken);
}

TEST(StateTableDeathTest, what_is_not_in_the_table_ends_the_process) {
  Machine<light_table> light(Light::red);
  EXPECT_DEATH(light.on(LightEvent::stop), "not in the state table");
}

}  // namespace
}  // namespace outrigger
