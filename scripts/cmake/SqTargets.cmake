# Targets and functions that every layer's CMakeLists.txt uses.

add_library(sq_options INTERFACE)
set(host_warnings -Wall -Wextra)
set(device_warnings -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas --expt-relaxed-constexpr)
# The same bytes on every machine: no fused multiply-add, even if the target has it.
set(arithmetic -ffp-contract=off)
if(SQ_WERROR)
  list(APPEND host_warnings -Werror)
  list(APPEND device_warnings -Xcompiler=-Werror -Werror=all-warnings)
endif()
target_compile_options(sq_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${host_warnings};${arithmetic}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:${device_warnings};-Xcompiler=${arithmetic}>")
if(SQ_SANITIZE)
  set(flags -fsanitize=${SQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
  target_compile_options(sq_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
  target_link_options(sq_options INTERFACE -fsanitize=${SQ_SANITIZE})
endif()

if(SQ_FUZZ)
  set(fuzz_flags -fsanitize=fuzzer-no-link,address,undefined)
  target_compile_options(sq_options INTERFACE ${fuzz_flags} -fno-omit-frame-pointer
                                              -fno-sanitize-recover=all -g)
  target_link_options(sq_options INTERFACE ${fuzz_flags})
endif()

# The commit that --version prints. Taken at configure time; "unknown" outside a git checkout.
set(SQ_COMMIT unknown)
find_package(Git QUIET)
if(Git_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(NOT failed)
    set(SQ_COMMIT ${commit})
  endif()
endif()

# sq_add_layer(NAME [SOURCES ...] [PUBLIC ...] [PRIVATE ...]): a static library sq_NAME of the .cc files
# in the current folder (or of SOURCES), with its dependencies. The layers' order: scripts/check_layers.py.
function(sq_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  endif()
  if(NOT ARG_SOURCES)
    message(FATAL_ERROR "layer ${name} has no sources")
  endif()
  add_library(sq_${name} STATIC ${ARG_SOURCES})
  target_include_directories(sq_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(sq_${name} PUBLIC cxx_std_17)
  target_link_libraries(sq_${name} PUBLIC ${ARG_PUBLIC}
                                   PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:sq_options>)
  set_target_properties(sq_${name} PROPERTIES EXPORT_NAME ${name})
endfunction()
