# Finds LibTorch without TorchConfig.cmake, which in a CUDA build of LibTorch requires a CUDA toolkit. Searches
# CMAKE_PREFIX_PATH, which may be a libtorch folder, a Python site-packages folder or site-packages/torch/share/cmake
# (the value of torch.utils.cmake_prefix_path).
#
# Defines LibTorch_VERSION and the imported targets LibTorch::cpu (libtorch_cpu and libc10) and, if the same folder has
# the CUDA libraries, LibTorch::cuda (libtorch_cuda and libc10_cuda). These find NVIDIA's libraries by their own RPATH.

set(_hints)
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND _hints ${_prefix} ${_prefix}/torch ${_prefix}/../..)
endforeach()
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${_hints} PATH_SUFFIXES include)
find_path(LibTorch_API_INCLUDE_DIR torch/torch.h
          HINTS ${LibTorch_INCLUDE_DIR} PATH_SUFFIXES torch/csrc/api/include)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_hints} PATH_SUFFIXES lib)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_hints} PATH_SUFFIXES lib)

if(EXISTS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  file(STRINGS ${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h _lines
       REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _numbers "${_lines}")
  string(REPLACE ";" "." LibTorch_VERSION "${_numbers}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
                LibTorch_API_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Run scripts/setup.sh, which unpacks it into the build tree, or pass \
-DCMAKE_PREFIX_PATH=<folder of your LibTorch>")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES
    IMPORTED_LOCATION ${LibTorch_C10_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIR};${LibTorch_API_INCLUDE_DIR}")
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION ${LibTorch_CPU_LIBRARY}
    INTERFACE_LINK_LIBRARIES LibTorch::c10
    # A CUDA build of libtorch_cpu depends on libcudart and libcupti, which it finds by its own RPATH.
    INTERFACE_LINK_OPTIONS LINKER:--allow-shlib-undefined)
endif()

get_filename_component(_folder "${LibTorch_CPU_LIBRARY}" DIRECTORY)
set(LibTorch_CUDA_LIBRARY ${_folder}/libtorch_cuda.so)
set(LibTorch_CUDA_FOUND OFF)
if(LibTorch_FOUND AND EXISTS ${LibTorch_CUDA_LIBRARY})
  set(LibTorch_CUDA_FOUND ON)
  if(NOT TARGET LibTorch::cuda)
    # No symbol of it is referenced: it registers its kernels when loaded, so the linker must not drop it.
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    target_link_libraries(LibTorch::cuda INTERFACE
      "-Wl,--push-state,--no-as-needed,${LibTorch_CUDA_LIBRARY},${_folder}/libc10_cuda.so,--pop-state" LibTorch::cpu)
    # First in the search path: its cuBLAS must find its own cuBLASLt, not that of a toolkit.
    get_filename_component(_nvidia "${_folder}/../../nvidia/cu13/lib" ABSOLUTE)
    if(EXISTS ${_nvidia})
      target_link_options(LibTorch::cuda INTERFACE LINKER:-rpath,${_nvidia})
    endif()
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_API_INCLUDE_DIR LibTorch_CPU_LIBRARY
                 LibTorch_C10_LIBRARY)
